//! sysbench, the load generator that MySQL's world compares with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::other::{Names, Other};
use crate::product::Product;
use crate::progress::Progress;

/// sysbench on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysbench {
    program: Other,
    scripts: PathBuf,
}

impl Sysbench {
    /// The given program, else one that is installed, else one from the distribution's packages, fetched now or before.
    ///
    /// # Errors
    /// The given one is not sysbench or has no `oltp_point_select.lua`; or none is installed, and none can be fetched on
    /// this system.
    pub fn program(given: Option<&Path>) -> Result<Self, Error> {
        let names = Names {
            product: Product::Sysbench,
            program: "sysbench",
            version_option: "--version",
        };
        let program = match given {
            Some(path) => names.given(path)?,
            None => names.found_or_fetched(&Progress::default())?,
        };
        let shares = ["usr/share", "usr/local/share"];
        let scripts = shares
            .map(|share| program.root().join(share).join("sysbench"))
            .into_iter()
            .find(|scripts| scripts.join("oltp_point_select.lua").is_file())
            .ok_or_else(|| Error::Unavailable {
                product: Product::Sysbench,
                reason: "sysbench has no oltp_point_select.lua".to_owned(),
                install: "install sysbench 1.0 or newer with its scripts",
            })?;
        Ok(Self { program, scripts })
    }

    /// The version as the program gives it, such as `1.0.20`.
    pub fn version(&self) -> &str {
        self.program.version()
    }

    /// A command that runs one of its own scripts, such as `oltp_point_select`; options are the caller's, as is the
    /// action at their end.
    pub fn command(&self, script: &str) -> Command {
        let mut command = self.program.command();
        command
            .arg(self.scripts.join(script).with_extension("lua"))
            // Its scripts are in parts.
            .env("LUA_PATH", format!("{}/?.lua;;", self.scripts.display()));
        let plugins = |directory: &PathBuf| directory.join("libmariadb3/plugin");
        let fetched = self.program.libraries().iter().map(plugins);
        if let Some(plugins) = fetched.into_iter().find(|plugins| plugins.is_dir()) {
            // Its client library logs in to MySQL with one.
            command.env("MARIADB_PLUGIN_DIR", plugins);
        }
        command
    }
}
