//! Addresses in settings: text in the file, [`Address`] after it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use steadfast_net::{Address, AddressError};

/// An address as the settings file has it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Written(pub(super) Address);

impl TryFrom<String> for Written {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse().map(Self)
    }
}

impl From<Written> for String {
    fn from(address: Written) -> Self {
        address.0.to_string()
    }
}

/// Where the admin HTTP listens: an address, or nowhere (`off`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum AdminAddress {
    /// Not at all.
    Off,
    /// There.
    At(Address),
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => text
                .parse()
                .map(Self::At)
                .map_err(|error: AddressError| format!("{error}, or off")),
        }
    }
}

impl TryFrom<String> for AdminAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AdminAddress> for String {
    fn from(address: AdminAddress) -> Self {
        match address {
            AdminAddress::Off => "off".to_owned(),
            AdminAddress::At(address) => address.to_string(),
        }
    }
}

/// A port on the loopback interface.
pub(super) fn local(port: u16) -> Address {
    Address::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    }
}
