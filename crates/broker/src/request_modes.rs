//! Whether groups pull or pop, as administrators say it by topic and group: `config/messageRequestMode.json`.
//! Java: `loadbalance/MessageRequestModeManager.java`.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use raptormq_protocol::body::{MessageRequestModeSerializeWrapper, SetMessageRequestModeRequestBody};

/// Topic to group to mode.
type Modes = BTreeMap<String, BTreeMap<String, SetMessageRequestModeRequestBody>>;

/// What was said. Topics and groups that there are not cannot be spoken of, so their limits bound it.
#[derive(Debug, Default)]
pub(crate) struct RequestModes(RwLock<Modes>);

impl RequestModes {
    /// What was kept.
    pub(crate) fn new(kept: MessageRequestModeSerializeWrapper) -> RequestModes {
        RequestModes(RwLock::new(kept.message_request_mode_map))
    }

    /// Notes what an administrator says.
    pub(crate) fn set(&self, mode: SetMessageRequestModeRequestBody) {
        let mut modes = self.0.write();
        modes.entry(mode.topic.clone()).or_default().insert(mode.consumer_group.clone(), mode);
    }

    /// Takes over what the master was told; returns whether that is something else.
    pub(crate) fn take_from_master(&self, master: MessageRequestModeSerializeWrapper) -> bool {
        let mut modes = self.0.write();
        let is_other = *modes != master.message_request_mode_map;
        *modes = master.message_request_mode_map;
        is_other
    }

    /// Everything that was said.
    pub(crate) fn snapshot(&self) -> MessageRequestModeSerializeWrapper {
        MessageRequestModeSerializeWrapper { message_request_mode_map: self.0.read().clone() }
    }
}
