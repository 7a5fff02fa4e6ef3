//! Attributes of topics and groups: `+key=value,-key` changes those that there are, as the original checks it.
//! Java: `common/attribute/{AttributeParser,AttributeUtil}.java`, `common/TopicAttributes.java`,
//! `common/SubscriptionGroupAttributes.java`.

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::Failure;

/// An attribute that there is.
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    /// It may be other than it was, once the topic is made.
    is_changeable: bool,
    values: Values,
}

/// Values that an attribute may have.
enum Values {
    /// One of these, which stand in the order in which Java names them.
    OneOf(&'static [&'static str]),
    /// A number from -1 on.
    Number,
}

/// What is said of a topic's messages.
pub(crate) const MESSAGE_TYPE: &str = "message.type";

/// The attributes of topics. `RocksDBCQ` is no queue type here.
pub(crate) const OF_TOPICS: &[Attribute] = &[
    Attribute { name: "queue.type", is_changeable: false, values: Values::OneOf(&["SimpleCQ", "BatchCQ"]) },
    Attribute { name: "cleanup.policy", is_changeable: false, values: Values::OneOf(&["DELETE", "COMPACTION"]) },
    Attribute {
        name: MESSAGE_TYPE,
        is_changeable: true,
        values: Values::OneOf(&["UNSPECIFIED", "TRANSACTION", "FIFO", "MIXED", "DELAY", "NORMAL"]),
    },
    Attribute { name: "reserve.time", is_changeable: true, values: Values::Number },
];

/// The attributes of groups: there are none up to 5.3.
pub(crate) const OF_GROUPS: &[Attribute] = &[];

/// Changes as they are said: keys with their sign, and values.
pub(crate) type Changes = BTreeMap<String, String>;

/// Reads `+key=value,-key`.
pub(crate) fn parse(text: &str) -> Result<Changes, Failure> {
    let mut changes = Changes::new();
    let text = text.trim_end_matches(',');
    for change in text.split(',').filter(|_| !text.is_empty()) {
        let (key, value) = match change.split_once('=') {
            Some((key, value)) if !key.contains('+') || value.is_empty() => {
                return Err(Failure::system(format!("add/alter attribute format is wrong: {key}")));
            }
            Some(pair) => pair,
            None if !change.contains('-') => {
                return Err(Failure::system(format!("delete attribute format is wrong: {change}")));
            }
            None => (change, ""),
        };
        if changes.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::system(format!("key duplication: {key}")));
        }
    }
    Ok(changes)
}

/// The attributes as they are after the changes, if those may be made. `current` is nothing for what is new.
pub(crate) fn alter(
    all: &[Attribute],
    current: Option<&BTreeMap<String, String>>,
    changes: &Changes,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut altered = current.cloned().unwrap_or_default();
    let mut named = BTreeSet::new();
    for (signed, value) in changes {
        let (sign, key) = signed.split_at_checked(1).unwrap_or_default();
        if key.is_empty() || key.contains(['+', '-']) {
            return Err(Failure::system("kv string format wrong."));
        }
        if !named.insert(key) {
            return Err(Failure::system(format!("alter duplication key. key: {key}")));
        }
        let is_known = current.is_some_and(|current| current.contains_key(key));
        match (sign, current) {
            ("+", _) => check(all, key, Some(value), current.is_none())?,
            (_, None) => {
                let remark = format!("only add attribute is supported while creating topic. key: {key}");
                return Err(Failure::system(remark));
            }
            ("-", Some(_)) if !is_known => {
                return Err(Failure::system(format!("attempt to delete a nonexistent key: {key}")));
            }
            ("-", Some(_)) => check(all, key, None, false)?,
            _ => return Err(Failure::system(format!("wrong format key: {key}"))),
        }
        match sign {
            "+" => altered.insert(key.to_owned(), value.clone()),
            _ => altered.remove(key),
        };
    }
    Ok(altered)
}

/// Whether the attribute may have that value, or be taken away when there is none.
fn check(all: &[Attribute], key: &str, value: Option<&str>, is_new: bool) -> Result<(), Failure> {
    let Some(attribute) = all.iter().find(|attribute| attribute.name == key) else {
        return Err(Failure::system(format!("unsupported key: {key}")));
    };
    if !(is_new || attribute.is_changeable) {
        return Err(Failure::system(format!("attempt to update an unchangeable attribute. key: {key}")));
    }
    match (&attribute.values, value) {
        (_, None) => Ok(()),
        (Values::OneOf(values), Some(value)) if values.contains(&value) => Ok(()),
        (Values::OneOf(values), _) => Err(Failure::system(format!("value is not in set: [{}]", values.join(", ")))),
        (Values::Number, Some(value)) => match value.parse::<i64>() {
            Ok(-1..) => Ok(()),
            Ok(_) => Err(Failure::system(format!("value is not in range(-1, {})", i64::MAX))),
            Err(_) => Err(Failure::system(format!("For input string: \"{value}\""))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn altered(current: Option<&[(&str, &str)]>, text: &str) -> Result<Vec<String>, String> {
        let current = current.map(|pairs| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect());
        let changes = parse(text).map_err(|failure| failure.remark.into_owned())?;
        let altered = alter(OF_TOPICS, current.as_ref(), &changes).map_err(|failure| failure.remark.into_owned())?;
        Ok(altered.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    #[test]
    fn attributes_are_added_changed_and_taken_away() {
        let known: &[(&str, &str)] = &[("message.type", "FIFO"), ("queue.type", "BatchCQ")];
        assert_eq!(altered(None, "+queue.type=BatchCQ").unwrap(), ["queue.type=BatchCQ"]);
        assert_eq!(
            altered(Some(known), "-message.type,+reserve.time=5,").unwrap(),
            ["queue.type=BatchCQ", "reserve.time=5"]
        );
        assert_eq!(altered(Some(known), ",").unwrap().len(), 2);
    }

    #[test]
    fn what_may_not_be_is_refused_as_a_whole() {
        let known: &[(&str, &str)] = &[("queue.type", "BatchCQ")];
        for (current, text, remark) in [
            (None, "message.type=FIFO", "add/alter attribute format is wrong: message.type"),
            (None, "+message.type=", "add/alter attribute format is wrong: +message.type"),
            (None, "+message.type", "delete attribute format is wrong: +message.type"),
            (None, "-message.type", "only add attribute is supported while creating topic. key: message.type"),
            (None, "+a=1,+a=1", "key duplication: +a"),
            (Some(known), "+queue.type=SimpleCQ", "attempt to update an unchangeable attribute. key: queue.type"),
            (Some(known), "-queue.type", "attempt to update an unchangeable attribute. key: queue.type"),
            (Some(known), "-message.type", "attempt to delete a nonexistent key: message.type"),
            (Some(known), "-", "kv string format wrong."),
            (Some(known), "+reserve.time=-2", "value is not in range(-1, 9223372036854775807)"),
        ] {
            assert_eq!(altered(current, text).unwrap_err(), remark, "{text}");
        }
    }
}
