//! Small shared libraries that a sandboxed server is given, compiled where they are needed: `$CC`, or `cc`.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;
use crate::template::last_lines;

/// Compiles C source to a shared library at this path. `what` says in an error what it is for.
///
/// # Errors
/// There is no C compiler, or it refuses.
pub(crate) fn library(
    what: &str,
    source: &str,
    arguments: &[&str],
    library: &Path,
) -> Result<(), Error> {
    let compiler = env::var_os("CC")
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "cc".into());
    let failed = |reason: String| {
        let what = format!(
            "compile with `{}` {what} (install a C compiler, or name one in CC)",
            compiler.display()
        );
        Error::io(what)(io::Error::other(reason))
    };
    let mut compiling = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O1", "-x", "c", "-o"])
        .arg(library)
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let fed = compiling
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(source.as_bytes()));
    let output = compiling
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(last_lines(&said, 3)));
    }
    fed.map_err(|error| failed(format!("did not read its source: {error}")))
}
