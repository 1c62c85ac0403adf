//! The state's text in a caller's buffer.

use super::buffer::OutBuffer;
use super::types::DWORD;
use crate::error::Error;
use std::io::{self, ErrorKind, Write};

/// The longest text whose size, with its final NUL, a DWORD can tell.
const LONGEST: u64 = DWORD::MAX as u64 - 1;

/// Fills the buffer with the text that `write` writes, and a NUL. It is written twice: first it is
/// measured, because a call that fails writes nothing (rule A2).
pub(super) fn fill(
    mut out: OutBuffer,
    write: impl Fn(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    let write = |text: &mut StateText<'_>| {
        write(text).map_err(|error| if text.too_long() { Error::StateTooLong } else { error })
    };
    let mut measured = StateText { size: 0, out: None };
    write(&mut measured)?;
    let mut needed = measured.needed();
    if needed <= out.left() {
        let mut text = StateText { size: 0, out: Some(&mut out) };
        write(&mut text)?;
        // The state may have grown in between.
        needed = text.needed();
        if out.used() + 1 == needed && out.left() > 0 {
            out.write(&[0]);
            return Ok(());
        }
    }
    Err(out.insufficient(needed))
}

/// A writer that counts all octets, and stores those that fit where there is a buffer.
struct StateText<'a> {
    size: u64,
    out: Option<&'a mut OutBuffer>,
}

impl StateText<'_> {
    const fn too_long(&self) -> bool {
        self.size > LONGEST
    }

    /// The size of the buffer that it needs. It is not too long.
    const fn needed(&self) -> usize {
        self.size as usize + 1
    }
}

impl Write for StateText<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.size += text.len() as u64;
        if self.too_long() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        if let Some(out) = &mut self.out
            && text.len() <= out.left()
        {
            out.write(text);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code;
    use std::cell::Cell;

    /// Asks for a text of so many octets, without a buffer. Gives what came of it, the size that was
    /// written, and how much of the text was asked for.
    fn ask(octets: u64) -> (Error, DWORD, u64) {
        let piece = vec![b' '; 1 << 20];
        let (mut size, asked) = (0, Cell::new(0));
        // SAFETY: the size outlives the buffer, which has no room.
        let out = unsafe { OutBuffer::new(&raw mut size, std::ptr::null_mut(), None).unwrap() };
        let write = |text: &mut dyn Write| {
            while asked.get() < octets {
                let more = (octets - asked.get()).min(piece.len() as u64);
                asked.set(asked.get() + more);
                let written = text.write_all(&piece[..more as usize]);
                written.map_err(|error| Error::NotWritten(error.kind()))?;
            }
            Ok(())
        };
        (fill(out, write).unwrap_err(), size, asked.get())
    }

    #[test]
    fn a_state_whose_size_no_dword_can_tell_is_an_error() {
        let (error, size, _) = ask(LONGEST);
        assert_eq!((error, size), (Error::InsufficientBuffer { needed: DWORD::MAX }, DWORD::MAX));
        for octets in [LONGEST + 1, LONGEST + 2, LONGEST + 3, 1 << 40] {
            let (error, size, asked) = ask(octets);
            assert_eq!(error, Error::StateTooLong);
            assert_eq!((error.code(), size), (code::ERROR_CAN_NOT_COMPLETE, 0), "nothing written");
            assert!(asked < 1 << 33, "nor is the rest put together");
            let line = error.to_string();
            assert!(line.contains("4294967294") && line.contains("control socket"), "{line}");
        }
    }

    #[test]
    fn other_failures_stay_what_they_are() {
        let mut size = 0;
        // SAFETY: the size outlives the buffer, which has no room.
        let out = unsafe { OutBuffer::new(&raw mut size, std::ptr::null_mut(), None).unwrap() };
        assert_eq!(fill(out, |_| Err(Error::NotRunning)), Err(Error::NotRunning));
    }
}
