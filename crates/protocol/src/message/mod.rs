//! A message in its three forms: the record of the commit log (which is also what a pull answers), the inner form of a
//! batch, and [`MessageExt`], the decoded message that a client hands out.
//!
//! Start at [`record`]: it has the layout. [`properties`] is the text form of a message's properties, [`id`] the two
//! kinds of message id, [`sys_flag`] the bits that say how to read a body, and [`compress`] what they may ask for.

pub mod batch;
pub mod compress;
mod ext;
pub mod id;
pub mod properties;
mod property_list;
pub mod record;
pub mod sys_flag;

pub use ext::{DecodeError, MessageExt};
pub use property_list::PropertyList;
