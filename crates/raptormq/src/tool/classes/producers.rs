//! The classes that send.

use super::{Class, with_word};
use crate::tool::quickstart;

/// See the module's documentation.
pub(super) const CLASSES: &[Class] = &[Class {
    name: "quickstart.Producer",
    about: "sends 1,000 messages to TopicTest",
    run: |invocation| quickstart::run(with_word(invocation, "producer")),
}];
