//! A password in memory.

use std::fmt;

use zeroize::Zeroizing;

/// A password. Its bytes are overwritten when it is dropped, printing it shows nothing, and comparing two takes a time
/// that depends on their lengths only.
#[derive(Clone, Default)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Copies a password. The caller's copy is the caller's to overwrite.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Password(Zeroizing::new(bytes.as_ref().to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is empty: accounts without a password answer with nothing at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Password {
    fn from(bytes: Vec<u8>) -> Self {
        Password(Zeroizing::new(bytes))
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Password::from(text.into_bytes())
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        super::equal(&self.0, &other.0)
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
