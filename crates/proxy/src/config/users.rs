//! The users file: passwords that Steadfast could not learn from a login.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::{ConfigError, SourceText};

/// Passwords by user name, zeroed in memory when dropped. `Debug` does not show them.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Users(BTreeMap<String, Zeroizing<String>>);

impl Users {
    /// The password of `user`, if the file has one.
    pub fn password(&self, user: &str) -> Option<&Zeroizing<String>> {
        self.0.get(user)
    }

    /// Users and their passwords, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Zeroizing<String>)> {
        self.0
            .iter()
            .map(|(user, password)| (user.as_str(), password))
    }

    /// The number of users.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a file of TOML lines `user = "password"`.
    ///
    /// # Errors
    /// The file cannot be read, others than its owner and group may read it, or it is no such file. No message
    /// quotes what the file holds, because that would put a password in a log.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        refuse_world_readable(path)?;
        let text = Zeroizing::new(
            fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?,
        );
        let source = SourceText::new(path, &text);
        toml::from_str(&text).map_err(|error| {
            source.error_at(
                error.span(),
                None,
                "not a user: write a line such as user = \"password\", with the name in quotes if it is not only letters, digits, _ and -",
            )
        })
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(unix)]
fn refuse_world_readable(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)
        .map_err(|error| ConfigError::unreadable(path, &error))?
        .permissions()
        .mode();
    match mode & 0o007 {
        0 => Ok(()),
        _ => Err(ConfigError::new(format!(
            "{0}: everybody on this machine may read or change it (mode {1:04o}), and it holds passwords; run: chmod 600 {0}",
            path.display(),
            mode & 0o7777
        ))),
    }
}

#[cfg(not(unix))]
fn refuse_world_readable(_path: &Path) -> Result<(), ConfigError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn passwords_are_found_by_user() {
        let (_dir, path) = file("app = \"s3cret\"\n\"o'hara\" = \"x\"\n", 0o600);
        let users = Users::load(&path).unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(users.password("app").map(|p| p.as_str()), Some("s3cret"));
        assert_eq!(users.password("App"), None);
        assert!(!format!("{users:?}").contains("s3cret"));
    }

    #[test]
    fn a_world_readable_file_is_refused_with_the_cure() {
        let (_dir, path) = file("app = \"s3cret\"\n", 0o644);
        let error = Users::load(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0644"), "{error}");
        assert!(
            error.ends_with(&format!("chmod 600 {}", path.display())),
            "{error}"
        );
    }

    #[test]
    fn an_error_names_the_line_and_not_the_password() {
        for text in [
            "app = \"ok\"\nroot = s3cret\n",
            "app = \"ok\"\nroot = [\"s3cret\"]\n",
            "app = \"ok\"\nroot s3cret\n",
        ] {
            let (_dir, path) = file(text, 0o600);
            let error = Users::load(&path).unwrap_err().to_string();
            assert!(error.contains("users.toml:2: "), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
