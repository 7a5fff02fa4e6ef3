//! The classes that receive.

use super::{Class, with_word};
use crate::tool::quickstart;

/// See the module's documentation.
pub(super) const CLASSES: &[Class] = &[Class {
    name: "quickstart.Consumer",
    about: "prints the messages of TopicTest as they come",
    run: |invocation| quickstart::run(with_word(invocation, "consumer")),
}];
