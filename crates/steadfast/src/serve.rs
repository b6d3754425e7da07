//! `steadfast serve`: configuration, log, and the proxy until it is told to end.

use std::process::ExitCode;

use anyhow::Context;
use steadfast_proxy::{
    Listening,
    config::{AdminAddress, Config},
    logging,
};
use tokio::sync::oneshot;

use crate::{FAILED, USAGE, cli::ServeArgs, open_files};

/// Runs the command. Errors are one line on the standard error stream.
pub(crate) fn run(args: ServeArgs) -> ExitCode {
    let (file, check) = (args.config.clone(), args.check);
    let config = match Config::load(file.as_deref(), args.overrides()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("steadfast: {error}");
            return ExitCode::from(USAGE);
        }
    };
    if check {
        println!("{}", summary(&config));
        return ExitCode::SUCCESS;
    }
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("steadfast: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    logging::init(config.log).context("the log cannot be opened")?;
    open_files::raise(config.limits.clients.get());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        let (ready, listening) = oneshot::channel();
        tokio::spawn(async move {
            // A sender that is gone means that `serve` failed, and says so itself.
            if let Ok(listening) = listening.await {
                announce(&listening);
            }
        });
        steadfast_proxy::serve(config, ready).await?;
        Ok(())
    })
}

/// The addresses that are really bound: with port 0 nobody could know them otherwise.
fn announce(listening: &Listening) {
    for address in &listening.clients {
        eprintln!("listening on {address}");
    }
    if let Some(admin) = &listening.admin {
        eprintln!("admin on http://{admin}");
    }
}

fn summary(config: &Config) -> String {
    let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    let admin = match &config.admin {
        AdminAddress::Off => "no admin address".to_owned(),
        AdminAddress::At(address) => format!("admin on http://{address}"),
    };
    format!(
        "the configuration is good: clients at {}, server at {}, {admin}",
        listen.join(", "),
        config.backend.address,
    )
}
