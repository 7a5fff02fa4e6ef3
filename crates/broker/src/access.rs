//! Whether the sender of a request may have it carried out: what each row of the request table needs, and the check.
//!
//! Java: `acl/plain/PlainAccessValidator.java`, which asks for less in places: batches and light pulls need the same as
//! single sends and pulls here, and what deletes, changes accounts or shows secrets needs an administrator.

use raptormq_auth::{Account, Denied, Permissions, PlainAcl};
use raptormq_protocol::command::Command;
use raptormq_protocol::heartbeat::HeartbeatData;
use raptormq_protocol::json;
use raptormq_remoting::Connection;

use crate::failure::Failure;

/// What a request needs when access control is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The signature of any account.
    Account,
    /// The signature of an administrator.
    Admin,
    /// To send to the topic that this field names.
    Publish(&'static str),
    /// To consume in the group that this field names.
    Group(&'static str),
    /// To consume the topic that the first field names, in the group that the second one names.
    Subscribe(&'static str, &'static str),
    /// To consume what the heartbeat in the body says.
    Heartbeat,
}

/// Refuses a request whose sender may not have it carried out.
#[cold]
pub(crate) fn check(acl: &PlainAcl, peer: &Connection, request: &Command<'_>, need: Need) -> Result<(), Failure> {
    let rules = acl.rules();
    match rules.authenticate(request, peer.peer_addr().ip())? {
        None => Ok(()),
        Some(account) => allow(account, request, need),
    }
}

fn allow(account: &Account, request: &Command<'_>, need: Need) -> Result<(), Failure> {
    // What a request does not name it will be refused for by whoever needs it.
    let field = |name: &str| request.fields.get(name).filter(|value| !value.is_empty());
    match need {
        Need::Account => Ok(()),
        Need::Admin => Ok(account.check_admin(request.code)?),
        Need::Publish(topic) => Ok(field(topic).map_or(Ok(()), |topic| account.check_topic(topic, Permissions::PUB))?),
        Need::Group(group) => Ok(field(group).map_or(Ok(()), |group| account.check_group(group))?),
        Need::Subscribe(topic, group) => {
            field(topic).map_or(Ok(()), |topic| account.check_topic(topic, Permissions::SUB))?;
            Ok(field(group).map_or(Ok(()), |group| account.check_group(group))?)
        }
        Need::Heartbeat => {
            let data: HeartbeatData = json::from_slice(request.body).map_err(Failure::body)?;
            for group in &data.consumer_data_set {
                account.check_group(&group.group_name)?;
                for subscription in &group.subscription_data_set {
                    account.check_topic(&subscription.topic, Permissions::SUB)?;
                }
            }
            Ok(())
        }
    }
}

impl From<Denied> for Failure {
    /// Java answers its exception.
    fn from(denied: Denied) -> Failure {
        Failure::system(format!("org.apache.rocketmq.acl.common.AclException: {denied}"))
    }
}
