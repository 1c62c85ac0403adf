//! The whole state as JSON, for administrators (MgmHostGetState, the control socket).

#![forbid(unsafe_code)]

use crate::callbacks::Callbacks;
use crate::error::Error;
use crate::mgm::Mgm;
use std::io::Write;

impl<C: Callbacks> Mgm<C> {
    /// MgmHostGetState: writes the state as one JSON object.
    pub fn write_state(&self, out: &mut dyn Write) -> Result<(), Error> {
        let _ = out;
        Err(Error::NotRunning)
    }
}
