//! What is known about a key besides its value, and what every family of keys can do.

use crate::Environment;
use crate::error::{BadValue, ConfigError};
use crate::properties::Properties;

/// One key of a family: everything that does not depend on its value.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// RocketMQ's name of the key.
    pub name: &'static str,
    /// The field of the family's struct.
    pub field: &'static str,
    /// What kind of value it takes, in a word.
    pub kind: &'static str,
    /// The doc comment of the field: one or more sentences.
    pub doc: &'static str,
    /// How the default comes from the machine, as an expression; empty when it is the same everywhere.
    pub default_from: &'static str,
    /// How the key is treated.
    pub flags: Flags,
}

/// How a key is treated. Built by naming the flags: `Flags::NONE.important().dynamic()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Printed by `-m`.
    pub is_important: bool,
    /// Takes effect at once when it is changed over the wire; other keys wait for the next start.
    pub is_dynamic: bool,
    /// Never changed over the wire.
    pub is_fixed: bool,
    /// Accepted, and without effect here.
    pub is_no_effect: bool,
    /// Not printed by `-p`: Java 5.3.3 does not print it either.
    pub is_hidden: bool,
    /// A key of RocketMQ releases after 5.3.3: taken from files, and shown nowhere.
    pub is_later: bool,
    /// A key of RaptorMQ: RocketMQ does not know it.
    pub is_own: bool,
    /// Holds a host name or an address, which has neither blanks nor `#`.
    pub is_address: bool,
}

impl Flags {
    /// No flag at all.
    pub const NONE: Flags = Flags {
        is_important: false,
        is_dynamic: false,
        is_fixed: false,
        is_no_effect: false,
        is_hidden: false,
        is_later: false,
        is_own: false,
        is_address: false,
    };

    /// Printed by `-m`.
    pub const fn important(self) -> Flags {
        Flags { is_important: true, ..self }
    }

    /// Takes effect at once when changed over the wire.
    pub const fn dynamic(self) -> Flags {
        Flags { is_dynamic: true, ..self }
    }

    /// Never changed over the wire.
    pub const fn fixed(self) -> Flags {
        Flags { is_fixed: true, ..self }
    }

    /// Accepted, and without effect here.
    pub const fn no_effect(self) -> Flags {
        Flags { is_no_effect: true, ..self }
    }

    /// Not printed by `-p`.
    pub const fn hidden(self) -> Flags {
        Flags { is_hidden: true, ..self }
    }

    /// A key of later releases: shown nowhere.
    pub const fn later(self) -> Flags {
        Flags { is_later: true, ..self }
    }

    /// A key of RaptorMQ.
    pub const fn own(self) -> Flags {
        Flags { is_own: true, ..self }
    }

    /// Holds a host name or an address.
    pub const fn address(self) -> Flags {
        Flags { is_address: true, ..self }
    }
}

/// A struct of keys that [`config!`](crate::config) declared.
pub trait Family: Clone {
    /// The family's name, as in RocketMQ.
    const NAME: &'static str;

    /// The keys in the order in which `-p` prints them.
    const KEYS: &'static [Key];

    /// The defaults on this machine.
    fn new(environment: &Environment) -> Self;

    /// Sets one key from text; `Ok(false)` when this family has no such key.
    ///
    /// # Errors
    /// The text is not a value of the key; nothing has changed.
    fn set(&mut self, key: &str, text: &str) -> Result<bool, BadValue>;

    /// The value of a key as text; `None` when this family has no such key.
    fn get(&self, key: &str) -> Option<String>;

    /// The entry of a key, by its name in RocketMQ.
    fn key(name: &str) -> Option<&'static Key> {
        Self::KEYS.iter().find(|key| key.name == name)
    }

    /// Sets every key of this family that the file names. Keys of other families are left alone.
    ///
    /// # Errors
    /// A value that its key does not take, with file and line. Keys before it have been set.
    fn apply(&mut self, properties: &Properties) -> Result<(), ConfigError> {
        let before = self.clone();
        for entry in &properties.entries {
            self.set(&entry.key, &entry.value).map_err(|value| ConfigError::Value {
                origin: properties.origin(entry),
                default: before.get(&entry.key).unwrap_or_default(),
                value,
            })?;
        }
        Ok(())
    }

    /// Key and value of all keys that `chosen` takes, in the order of [`Family::KEYS`].
    fn pairs(&self, chosen: fn(&Flags) -> bool) -> Vec<(&'static str, String)> {
        let keys = Self::KEYS.iter().filter(|key| chosen(&key.flags));
        keys.map(|key| (key.name, self.get(key.name).unwrap_or_default())).collect()
    }
}

/// A family whose type does not matter: what goes over several of them uses it.
pub(crate) trait AnyFamily {
    fn keys(&self) -> &'static [Key];
    fn set_text(&mut self, key: &str, text: &str) -> Result<bool, BadValue>;
    fn text_of(&self, key: &str) -> Option<String>;
    fn default_of(&self, key: &str, environment: &Environment) -> Option<String>;
}

impl<F: Family> AnyFamily for F {
    fn keys(&self) -> &'static [Key] {
        F::KEYS
    }

    fn set_text(&mut self, key: &str, text: &str) -> Result<bool, BadValue> {
        Family::set(self, key, text)
    }

    fn text_of(&self, key: &str) -> Option<String> {
        Family::get(self, key)
    }

    fn default_of(&self, key: &str, environment: &Environment) -> Option<String> {
        Family::get(&F::new(environment), key)
    }
}
