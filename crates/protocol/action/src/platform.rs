//! What a worker must offer.

use std::fmt;

use reapi::execution as proto;
use thiserror::Error;

use crate::action::Action;
use crate::command::Command;
use crate::limits::{PLATFORM_PROPERTIES_MAX, PLATFORM_PROPERTY_BYTES_MAX, quoted};

/// Properties a worker must offer, sorted by name and value, so that equal demands are equal values. A name may
/// stand several times, then all its values are demanded; names and values are case-sensitive (checklist E34).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    properties: Vec<(String, String)>,
}

/// Why a platform is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlatformError {
    /// A property without a name.
    #[error("a platform property with value `{value}` has no name")]
    NoName {
        /// Its value.
        value: String,
    },
    /// Far too large.
    #[error(
        "platform property `{name}` has {length_bytes} bytes; at most {} are possible",
        PLATFORM_PROPERTY_BYTES_MAX
    )]
    TooLong {
        /// Its name.
        name: String,
        /// Length of name and value.
        length_bytes: usize,
    },
    /// Far too many.
    #[error(
        "{count} platform properties; at most {} are possible",
        PLATFORM_PROPERTIES_MAX
    )]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

impl Platform {
    /// A platform of these properties, in any order; repetitions are dropped.
    pub fn new(properties: impl IntoIterator<Item = (String, String)>) -> Result<Self, PlatformError> {
        let mut properties: Vec<_> = properties.into_iter().collect();
        if properties.len() > PLATFORM_PROPERTIES_MAX {
            return Err(PlatformError::TooMany {
                count: properties.len(),
            });
        }
        for (name, value) in &properties {
            if name.is_empty() {
                return Err(PlatformError::NoName { value: quoted(value) });
            }
            let length_bytes = name.len() + value.len();
            if length_bytes > PLATFORM_PROPERTY_BYTES_MAX {
                return Err(PlatformError::TooLong {
                    name: quoted(name),
                    length_bytes,
                });
            }
        }
        properties.sort_unstable();
        properties.dedup();
        Ok(Platform { properties })
    }

    /// Reads a message. Unsorted lists are taken, because clients send them.
    pub fn from_proto(proto: &proto::Platform) -> Result<Self, PlatformError> {
        Self::new(
            proto
                .properties
                .iter()
                .map(|property| (property.name.clone(), property.value.clone())),
        )
    }

    /// The way out.
    pub fn to_proto(&self) -> proto::Platform {
        proto::Platform {
            properties: self
                .iter()
                .map(|(name, value)| proto::platform::Property {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
        }
    }

    /// What an action demands: its own platform (2.2 and later) or, if that says nothing, its command's.
    pub fn of(action: &Action, command: &Command) -> Self {
        let platforms = [action.platform(), command.platform()];
        platforms
            .into_iter()
            .flatten()
            .find(|platform| !platform.is_empty())
            .cloned()
            .unwrap_or_default()
    }

    /// Name and value of each property, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The values demanded for `name`, ascending.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// Number of properties.
    pub fn len(&self) -> usize {
        self.properties.len()
    }

    /// Whether it demands nothing.
    pub fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }
}

/// `name=value, name=value`; `(any)` for no demands.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("(any)");
        }
        for (at, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(properties: &[(&str, &str)]) -> Result<Platform, PlatformError> {
        Platform::new(
            properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn equal_demands_are_equal_values_whatever_their_order() {
        let a = platform(&[("OSFamily", "linux"), ("ISA", "x86-64"), ("ISA", "avx2")]).unwrap();
        let b = platform(&[
            ("ISA", "avx2"),
            ("OSFamily", "linux"),
            ("ISA", "x86-64"),
            ("ISA", "avx2"),
        ])
        .unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "ISA=avx2, ISA=x86-64, OSFamily=linux");
        assert_eq!(a.values("ISA").collect::<Vec<_>>(), ["avx2", "x86-64"]);
        assert_eq!(Platform::from_proto(&a.to_proto()).unwrap(), a);
        assert_eq!(Platform::default().to_string(), "(any)");
        assert_ne!(platform(&[("a", "x")]).unwrap(), platform(&[("A", "x")]).unwrap());
    }

    #[test]
    fn nameless_and_endless_properties_are_refused() {
        assert!(matches!(
            platform(&[("", "x")]),
            Err(PlatformError::NoName { .. })
        ));
        let long = "x".repeat(PLATFORM_PROPERTY_BYTES_MAX);
        assert!(platform(&[("", "")]).is_err());
        assert!(matches!(
            platform(&[("a", &long)]),
            Err(PlatformError::TooLong { .. })
        ));
        let many = vec![("a", "b"); PLATFORM_PROPERTIES_MAX + 1];
        assert!(matches!(
            platform(&many),
            Err(PlatformError::TooMany { count: 1001 })
        ));
    }
}
