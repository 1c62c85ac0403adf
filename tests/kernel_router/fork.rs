//! A child of the process has a copy of the multicast socket: it must not end the parent's
//! forwarding, whatever it calls.

use crate::netns::recorder::{flow, send_until_received};
use crate::netns::{run, wait_for};
use crate::netns_tests;
use crate::stage::{kernel_entries, three_cables};
use mgm::ffi::entry::{
    MgmAddGroupMembershipEntry, MgmRegisterMProtocol, MgmReleaseInterfaceOwnership,
    MgmTakeInterfaceOwnership,
};
use mgm::ffi::host::{MgmHostStart, MgmHostStop};
use mgm::ffi::types::{_MGM_HOST_CONFIG, _ROUTING_PROTOCOL_CONFIG, HANDLE, MGM_FORWARDER_KERNEL};

const NO_ERROR: u32 = 0;
const CAN_NOT_COMPLETE: u32 = 1003;

netns_tests! {
    fn a_forked_child_ends_nothing_of_the_parents() {
        let [a, b, _] = three_cables();
        let client = start();
        for cable in [&a, &b] {
            assert_eq!(MgmTakeInterfaceOwnership(client, cable.key().index, 0), NO_ERROR);
        }
        // (*,*) on b.
        assert_eq!(MgmAddGroupMembershipEntry(client, 0, 0, 0, 0, b.key().index, 0, 1), NO_ERROR);
        let known = flow(2, 1);
        send_until_received(&a, known, &b);

        let index = a.key().index;
        // SAFETY: the child only makes calls that come back at once, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: takes a number.
            unsafe { libc::alarm(30) };
            let given =
                [MgmReleaseInterfaceOwnership(client, index, 0), MgmHostStop(), MgmHostStop()];
            // Through the destructors of everything that is loaded.
            // SAFETY: the C library makes its own locks usable in a child.
            unsafe { libc::exit(i32::from(given != [CAN_NOT_COMPLETE; 3])) };
        }
        let mut status = -1;
        // SAFETY: `status` is valid.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);

        // The old flow is still the kernel's, and new ones are reported.
        assert_eq!(kernel_entries().len(), 1);
        send_until_received(&a, known, &b);
        send_until_received(&a, flow(2, 2), &b);
        wait_for("both entries", || (kernel_entries().len() == 2).then_some(()));
        assert_eq!(MgmHostStop(), NO_ERROR);
        assert_eq!(run("ip mroute show table all"), "");
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif"), "");
    }
}

/// The host with the kernel forwarder, and a client without callbacks.
fn start() -> HANDLE {
    // SAFETY: numbers and nullable pointers.
    let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
    config.dwSize = size_of_val(&config) as u32;
    config.dwForwarder = MGM_FORWARDER_KERNEL;
    // SAFETY: nullable pointers.
    let mut callbacks: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
    let mut client = std::ptr::null_mut();
    // SAFETY: all pointers are valid.
    unsafe {
        assert_eq!(MgmHostStart(&raw const config), NO_ERROR);
        let code = MgmRegisterMProtocol(&raw mut callbacks, 100, 1, &raw mut client);
        assert_eq!(code, NO_ERROR);
    }
    client
}
