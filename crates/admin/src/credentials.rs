//! The account that requests are signed with: `conf/tools.yml` in `ROCKETMQ_HOME`. Java: `tools/command/MQAdminStartup.java`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_yaml_ng::Value;

use crate::failure::{Failure, Result};

/// Where the file lies in `ROCKETMQ_HOME`.
const FILE: &str = "conf/tools.yml";

/// Access key and secret key, when there is a file that has both. Without `ROCKETMQ_HOME`, or without the file, requests
/// are not signed, as by the original.
pub(crate) fn find(system_properties: &BTreeMap<String, String>) -> Result<Option<(String, String)>> {
    let property = system_properties.get("rocketmq.home.dir").cloned();
    let Some(home) = property.or_else(|| std::env::var("ROCKETMQ_HOME").ok()) else { return Ok(None) };
    let path = Path::new(&home).join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let wrong = |error| Failure::argument(format!("{}: {error}", path.display()));
            read(&text).map_err(wrong)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::File { path: path.display().to_string(), error }),
    }
}

/// What the file says; a secret of digits alone is a number there.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    access_key: Value,
    secret_key: Value,
}

fn read(text: &str) -> Result<Option<(String, String)>, serde_yaml_ng::Error> {
    let keys: Option<Keys> = serde_yaml_ng::from_str(text)?;
    let value = |value: Value| match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Ok(keys.and_then(|keys| Some((value(keys.access_key)?, value(keys.secret_key)?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keys_are_read_or_none() {
        let pair = Some(("rocketmq2".to_owned(), "12345678".to_owned()));
        assert_eq!(read("accessKey: rocketmq2\nsecretKey: 12345678\n").unwrap(), pair);
        assert_eq!(read("# who\nsecretKey: \"12345678\" # secret\naccessKey: 'rocketmq2'").unwrap(), pair);
        for nothing in ["accessKey: rocketmq2\nsecretKey:\n", "", "other: 1"] {
            assert_eq!(read(nothing).unwrap(), None, "{nothing}");
        }
        assert!(read("accessKey: [").is_err());
    }
}
