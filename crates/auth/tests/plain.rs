//! Files of accounts as they are written for the original: read, followed, changed.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::net::IpAddr;
use std::path::Path;

use raptormq_auth::{AccountConfig, Credentials, Denied, PlainAcl};
use raptormq_protocol::command::{Command, CommandWriter, Head};
use raptormq_protocol::frame::{self, FRAME_BYTES_MAX, Serialization};
use raptormq_protocol::header::{FieldSink as _, FieldValue};

/// The file that RocketMQ 4.9 ships.
const SHIPPED: &str = "
globalWhiteRemoteAddresses:
- 10.10.103.*
- 192.168.0.*

accounts:
- accessKey: RocketMQ
  secretKey: 12345678
  whiteRemoteAddress:
  admin: false
  defaultTopicPerm: DENY
  defaultGroupPerm: SUB
  topicPerms:
  - topicA=DENY
  - topicB=PUB|SUB
  - topicC=SUB
  groupPerms:
  # the group should convert to retry topic
  - groupA=DENY
  - groupB=PUB|SUB
  - groupC=SUB

- accessKey: rocketmq2
  secretKey: 12345678
  whiteRemoteAddress: 192.168.1.*
  # if it is admin, it could access all resources
  admin: true
";

const FILE: &str = "conf/plain_acl.yml";

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new(text: &str) -> Home {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("conf/acl/deeper")).unwrap();
        let home = Home { folder };
        home.write(FILE, text);
        home
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn open(&self) -> PlainAcl {
        PlainAcl::open(self.folder.path(), Path::new(FILE), 7).unwrap()
    }
}

/// Who a request is from, in words.
fn whose(acl: &PlainAcl, credentials: Option<&Credentials>, address: &str) -> Result<String, Denied> {
    let fields = [("topic", "topicB"), ("b", "2")];
    let mut bytes = Vec::new();
    let mut writer = CommandWriter::new(&mut bytes, Serialization::Json, Head::request(10, 1));
    fields.iter().for_each(|(key, value)| writer.field(key, FieldValue::Text(value)));
    for (key, value) in credentials.iter().flat_map(|credentials| credentials.sign(fields.into_iter(), b"body")) {
        writer.field(key, FieldValue::Text(&value));
    }
    writer.finish(b"body");
    let frame = frame::split(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
    let mut scratch = Vec::new();
    let command = Command::decode(&bytes, &frame, &mut scratch).unwrap();
    let address: IpAddr = address.parse().unwrap();
    let rules = acl.rules();
    let account = rules.authenticate(&command, address)?;
    Ok(account.map_or_else(|| "anybody".to_owned(), |account| account.access_key().to_owned()))
}

#[test]
fn requests_are_known_by_their_signature_or_their_address() {
    let acl = Home::new(SHIPPED).open();
    let right = Credentials::new("RocketMQ", "12345678");
    let admin = Credentials::new("rocketmq2", "12345678");
    assert_eq!(whose(&acl, Some(&right), "1.1.1.1"), Ok("RocketMQ".into()));
    assert_eq!(whose(&acl, None, "10.10.103.9"), Ok("anybody".into()));
    assert_eq!(whose(&acl, None, "1.1.1.1"), Err(Denied::NoAccessKey));
    assert_eq!(whose(&acl, Some(&admin), "192.168.1.4"), Ok("anybody".into()));
    assert_eq!(whose(&acl, Some(&admin), "192.168.2.4"), Ok("rocketmq2".into()));
    assert_eq!(
        whose(&acl, Some(&Credentials::new("RocketMQ", "12345679")), "1.1.1.1"),
        Err(Denied::Signature("RocketMQ".into()))
    );
    assert_eq!(
        whose(&acl, Some(&Credentials::new("nobody0", "12345678")), "1.1.1.1"),
        Err(Denied::Unknown("nobody0".into()))
    );
}

#[test]
fn files_in_the_folder_count_and_changes_are_followed() {
    let home = Home::new(SHIPPED);
    home.write("conf/acl/deeper/more.yaml", "accounts:\n- accessKey: further1\n  secretKey: secret12\n");
    home.write("conf/acl/note.txt", "not one of them");
    let acl = home.open();
    let further = Credentials::new("further1", "secret12");
    assert_eq!(whose(&acl, Some(&further), "1.1.1.1"), Ok("further1".into()));
    assert!(!acl.reload(8).unwrap(), "nothing has changed");
    home.write("conf/acl/deeper/more.yaml", "accounts:\n- accessKey: further1\n  secretKey: another_secret\n");
    assert!(acl.reload(8).unwrap());
    assert_eq!(whose(&acl, Some(&further), "1.1.1.1"), Err(Denied::Signature("further1".into())));
    home.write("conf/acl/deeper/more.yaml", "accounts:\n- accessKey: further1\n  secretKey: [unfinished");
    assert!(acl.reload(9).unwrap_err().to_string().contains("more.yaml"));
    let now = Credentials::new("further1", "another_secret");
    assert_eq!(whose(&acl, Some(&now), "1.1.1.1"), Ok("further1".into()), "what was read before stays");
    std::fs::remove_file(home.folder.path().join("conf/acl/deeper/more.yaml")).unwrap();
    assert!(acl.reload(10).unwrap());
    assert_eq!(whose(&acl, Some(&now), "1.1.1.1"), Err(Denied::Unknown("further1".into())));
}

#[test]
fn administrators_change_accounts_and_addresses() {
    let home = Home::new(SHIPPED);
    let acl = home.open();
    let account = |secret: &str| AccountConfig {
        access_key: Some("newuser1".into()),
        secret_key: Some(secret.into()),
        topic_perms: Some(vec!["a=SUB".into()]),
        ..AccountConfig::default()
    };
    acl.put(&account("first_secret"), 100).unwrap();
    acl.put(&AccountConfig { topic_perms: None, ..account("second_secret") }, 101).unwrap();
    assert_eq!((acl.version().counter, acl.version().timestamp), (2, 101));
    let again = home.open();
    assert_eq!(whose(&again, Some(&Credentials::new("newuser1", "second_secret")), "1.1.1.1"), Ok("newuser1".into()));
    let kept = again.rules().configs.iter().find(|known| known.access_key == Some("newuser1".into())).cloned().unwrap();
    assert_eq!(kept.topic_perms, Some(vec!["a=SUB".to_owned()]), "what is not said again stays");
    assert_eq!(again.rules().configs.len(), 3);
    assert!(acl.delete("newuser1", 102).unwrap());
    assert!(!acl.delete("newuser1", 103).unwrap());
    assert!(acl.set_global_addresses(&["1.1.1.1".into()], None, 104).unwrap());
    assert_eq!(whose(&acl, None, "1.1.1.1"), Ok("anybody".into()));
    let outside = home.folder.path().join("conf/other.yml");
    std::fs::write(&outside, "accounts: []\n").unwrap();
    for path in [Path::new("/etc/passwd"), &outside, &home.folder.path().join("conf/../conf/plain_acl.yml")] {
        assert!(!acl.set_global_addresses(&["2.2.2.2".into()], Some(path), 105).unwrap(), "{path:?}");
    }
    assert!(acl.set_global_addresses(&["nonsense".into()], None, 106).is_err());
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "accounts: []\n");
}

#[test]
fn what_cannot_be_used_is_refused_with_its_file() {
    for (text, reason) in [
        ("accounts:\n- accessKey: short\n  secretKey: 12345678\n", "the keys of account short must be longer"),
        (
            "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  topicPerms:\n  - a\n",
            "Parse Resource format error for a",
        ),
        ("globalWhiteRemoteAddresses:\n- nonsense\n", "Netaddress examine Exception netaddress is nonsense"),
        ("accounts: 7\n", "plain_acl.yml"),
        ("\t- x", "plain_acl.yml"),
    ] {
        let home = Home::new(text);
        let error = PlainAcl::open(home.folder.path(), Path::new(FILE), 7).err().unwrap().to_string();
        assert!(error.contains(reason) && error.contains("plain_acl.yml"), "{error}");
    }
    for empty in ["", "# nothing\n", "accounts:\nglobalWhiteRemoteAddresses:\n"] {
        assert_eq!(whose(&Home::new(empty).open(), None, "1.1.1.1"), Err(Denied::NoAccessKey));
    }
}
