//! What a thread is inside of: a call that it makes inside a callback goes over that callback's
//! channel, so that the host's thread that waits for the answer performs it.

use super::session::{Channel, Session};
use crate::sys::sync::unscheduled::Mutex;
use std::cell::RefCell;
use std::sync::Arc;

/// The channel of the callback that the thread is inside of, and whose session it is.
type Inside = (*const Session, Arc<Mutex<Channel>>);

thread_local! {
    static INSIDE: RefCell<Option<Inside>> = const { RefCell::new(None) };
}

/// Runs a callback that came over a channel.
pub(super) fn callback<R>(
    session: &Session,
    on: &Arc<Mutex<Channel>>,
    run: impl FnOnce() -> R,
) -> R {
    let inner: Inside = (std::ptr::from_ref(session), Arc::clone(on));
    let outer = INSIDE.with(|inside| inside.replace(Some(inner)));
    let _restore = Restore(outer);
    run()
}

/// The channel that calls go over, where the thread is inside a callback of this session.
pub(super) fn channel_of(session: &Session) -> Option<Arc<Mutex<Channel>>> {
    INSIDE.with(|inside| {
        let inside = inside.borrow();
        let (of, channel) = inside.as_ref()?;
        std::ptr::eq(*of, session).then(|| Arc::clone(channel))
    })
}

struct Restore(Option<Inside>);

impl Drop for Restore {
    fn drop(&mut self) {
        let outer = self.0.take();
        INSIDE.with(|inside| inside.replace(outer));
    }
}
