//! Starts a server, says where it is and keeps it until standard input ends.
//!
//! `cargo run -p steadfast-sandbox --example server -- mysql [option=value …] [fsync-ms=N]`

use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;

use steadfast_sandbox::{Error, Kind, Server};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let kind = match arguments.next().as_deref() {
        Some("mariadb") => Kind::MariaDb,
        Some("mysql") => Kind::MySql,
        _ => {
            eprintln!("usage: server mariadb|mysql [option=value …] [fsync-ms=N]");
            std::process::exit(2);
        }
    };
    let mut builder = Server::of(kind);
    for option in arguments {
        builder = match option.strip_prefix("fsync-ms=").map(str::parse) {
            Some(Ok(millis)) => builder.fsync(Duration::from_millis(millis)),
            _ => builder.option(option),
        };
    }
    let begun = std::time::Instant::now();
    let server = builder.start()?;
    println!("version {}", server.version());
    println!("url {}", server.url());
    println!(
        "directory {}",
        server.data_dir().with_file_name("").display()
    );
    println!("pid {}", server.pid().unwrap_or_default());
    eprintln!("started in {:.2} s", begun.elapsed().as_secs_f64());
    if let Err(error) = io::stdin().read_to_end(&mut Vec::new()) {
        eprintln!("standard input: {error}");
    }
    Ok(())
}
