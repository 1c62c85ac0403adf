//! What a thread is inside of: a call that it makes inside a callback goes over that callback's
//! channel, so that the host's thread that waits for the answer performs it.

use crate::remote::channel::Buffer;
use crate::shell::context::Restore;
use crate::sys::sync::unscheduled::Mutex;
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A socket for calls, with memory for its messages.
pub(super) struct Channel {
    pub socket: Arc<OwnedFd>,
    pub input: Buffer,
    pub output: Buffer,
}

/// The channel of the callback that the thread is inside of, and the address of its session.
type InsideCallback = (usize, Arc<Mutex<Channel>>);

thread_local! {
    static INSIDE: RefCell<Option<InsideCallback>> = const { RefCell::new(None) };
}

/// Runs a callback that came over a channel.
pub(super) fn callback<R>(session: usize, on: &Arc<Mutex<Channel>>, run: impl FnOnce() -> R) -> R {
    let inner: InsideCallback = (session, Arc::clone(on));
    let mut outer = INSIDE.with(|inside| inside.replace(Some(inner)));
    let _restore = Restore(|| drop(INSIDE.with(|inside| inside.replace(outer.take()))));
    run()
}

/// The channel that calls go over, where the thread is inside a callback of this session.
pub(super) fn channel_of(session: usize) -> Option<Arc<Mutex<Channel>>> {
    INSIDE.with(|inside| {
        let inside = inside.borrow();
        let (of, channel) = inside.as_ref()?;
        (*of == session).then(|| Arc::clone(channel))
    })
}
