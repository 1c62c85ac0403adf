//! Surrounds every exported function: no panic crosses into C, and each failure is logged and becomes
//! a code.

use super::manager::manager;
use super::types::HANDLE;
use super::{MGM, fork};
use crate::core::state::record::Rest;
use crate::error::{Error, code};
use crate::handle;
use crate::sys::border::in_library;
use crate::types::ClientName;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a function gives when it succeeded, as a code.
pub(super) trait Outcome {
    fn code(self) -> u32;
}

impl Outcome for () {
    fn code(self) -> u32 {
        code::NO_ERROR
    }
}

impl Outcome for Rest {
    fn code(self) -> u32 {
        match self {
            Rest::More => code::ERROR_MORE_DATA,
            Rest::End => code::ERROR_NO_MORE_ITEMS,
        }
    }
}

/// Runs the body of the exported function `name`, which may change something, and gives its code.
/// Inside a function of a custom forwarder the call is refused.
pub(super) fn call<T: Outcome>(name: &'static str, body: impl FnOnce() -> Result<T, Error>) -> u32 {
    run(name, None, outside_plane(body))
}

/// The same for a function of the client with this handle. The line about a failure names it.
pub(super) fn call_of<T: Outcome>(
    name: &'static str,
    client: HANDLE,
    body: impl FnOnce() -> Result<T, Error>,
) -> u32 {
    run(name, Some(client), outside_plane(body))
}

fn outside_plane<T>(
    body: impl FnOnce() -> Result<T, Error>,
) -> impl FnOnce(bool) -> Result<T, Error> {
    |inside_plane| if inside_plane { Err(Error::InsideForwarder) } else { body() }
}

/// The same for a function that only reads.
pub(super) fn read<T: Outcome>(name: &'static str, body: impl FnOnce() -> Result<T, Error>) -> u32 {
    run(name, None, |_| body())
}

/// The body is told whether the call is made inside a function of a custom forwarder. A panic closes the
/// library: the state can no longer be trusted (rule A5).
fn run<T: Outcome>(
    name: &'static str,
    client: Option<HANDLE>,
    body: impl FnOnce(bool) -> Result<T, Error>,
) -> u32 {
    if fork::is_child() {
        // Not logged: whatever the log needs may be locked for ever.
        return Error::Forked.code();
    }
    in_library(|inside_plane| guarded(name, client, || body(inside_plane)))
}

/// Runs a body and gives its code, also where it panics.
fn guarded<T: Outcome>(
    name: &'static str,
    client: Option<HANDLE>,
    body: impl FnOnce() -> Result<T, Error>,
) -> u32 {
    // Unwind safety: after a panic nothing of the state is looked at again, see mark_broken.
    let result = catch_unwind(AssertUnwindSafe(|| {
        if MGM.is_broken() {
            return Err(Error::Broken);
        }
        #[cfg(feature = "fault-injection")]
        {
            crate::shell::fault::point(name);
            race();
        }
        let result = body();
        // A fault on another thread: what this call did cannot be trusted either.
        if MGM.is_broken() { Err(Error::Broken) } else { result }
    }));
    match result {
        Ok(Ok(outcome)) => outcome.code(),
        Ok(Err(error)) => failed(name, client, &error),
        Err(panic) => {
            // The panic's payload may panic again when it is dropped.
            std::mem::forget(panic);
            MGM.mark_broken();
            failed(name, None, &Error::Broken)
        }
    }
}

/// Where MGM_FAULT is "race": a data race on purpose in every function, which shows that a tool
/// that looks for data races sees those of the library.
#[cfg(feature = "fault-injection")]
fn race() {
    static mut CALLS: u32 = 0;
    if crate::shell::fault::is_at("race") {
        let calls = &raw mut CALLS;
        // SAFETY: it is meant to be unsound; nothing depends on the number.
        unsafe { calls.write(calls.read().wrapping_add(1)) };
    }
}

fn failed(name: &str, client: Option<HANDLE>, error: &Error) -> u32 {
    let code = listed(name, error.code());
    if matches!(error, Error::Told(_)) || !MGM.logs(error.level()) {
        return code;
    }
    // A panic while the line is formatted or logged must not unwind into C either.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let what = code::name(code);
        match client.and_then(client_name) {
            Some(who) => MGM.log(error.level(), format_args!("{name}: {what}: {error} ({who})")),
            None => MGM.log(error.level(), format_args!("{name}: {what}: {error}")),
        }
    }));
    code
}

/// Whose handle this is.
fn client_name(client: HANDLE) -> Option<ClientName> {
    manager().ok()?.client_name(handle::to_client(client.addr())?)
}

/// Rule A4: ERROR_NOT_ENOUGH_MEMORY only where the reference page lists it.
fn listed(name: &str, code: u32) -> u32 {
    let lists = matches!(
        name,
        "MgmRegisterMProtocol"
            | "MgmTakeInterfaceOwnership"
            | "MgmAddGroupMembershipEntry"
            | "MgmGroupEnumerationStart"
            | "MgmGroupEnumerationGetNext"
    ) || name.starts_with("MgmHost");
    if code == code::ERROR_NOT_ENOUGH_MEMORY && !lists {
        code::ERROR_CAN_NOT_COMPLETE
    } else {
        code
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::MgmDeRegisterMProtocol;
    use super::*;

    #[test]
    fn codes_of_success() {
        assert_eq!(().code(), 0);
        assert_eq!(Rest::More.code(), 234);
        assert_eq!(Rest::End.code(), 259);
    }

    #[test]
    fn a4_out_of_memory_where_the_page_lists_it() {
        let lists = [
            "MgmRegisterMProtocol",
            "MgmTakeInterfaceOwnership",
            "MgmAddGroupMembershipEntry",
            "MgmGroupEnumerationStart",
            "MgmGroupEnumerationGetNext",
            "MgmHostStart",
            "MgmHostStop",
            "MgmHostReceive",
            "MgmHostRouteChanged",
            "MgmHostInterfaceDown",
            "MgmHostGetState",
        ];
        let lists_not = [
            "MgmDeRegisterMProtocol",
            "MgmReleaseInterfaceOwnership",
            "MgmGetProtocolOnInterface",
            "MgmDeleteGroupMembershipEntry",
            "MgmGetMfe",
            "MgmGetFirstMfe",
            "MgmGetNextMfe",
            "MgmGetMfeStats",
            "MgmGetFirstMfeStats",
            "MgmGetNextMfeStats",
            "MgmSetMfe",
            "MgmGroupEnumerationEnd",
        ];
        assert!(lists.iter().all(|name| listed(name, 8) == 8));
        assert!(lists_not.iter().all(|name| listed(name, 8) == 1003));
        assert_eq!(listed("MgmGetFirstMfe", 87), 87);
    }

    // No other test of this binary may use the process's group manager: this one closes it for ever.
    #[test]
    fn a5_a_fault_closes_the_library() {
        let code = call::<()>("MgmSetMfe", || panic!("a fault"));
        assert_eq!(code, code::ERROR_CAN_NOT_COMPLETE);
        // Otherwise a bad handle is an invalid parameter.
        assert_eq!(MgmDeRegisterMProtocol(std::ptr::null_mut()), code::ERROR_CAN_NOT_COMPLETE);
        assert_eq!(call("MgmSetMfe", || Ok(())), code::ERROR_CAN_NOT_COMPLETE);
    }
}
