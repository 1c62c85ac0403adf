//! The terminal: its size, and a whole screen that is painted again and again.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{self, IsTerminal, Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// Columns and lines of the terminal. Elsewhere COLUMNS and LINES say, else there are 80 columns.
pub fn size() -> (usize, usize) {
    let variable = |name| std::env::var(name).ok()?.parse::<usize>().ok();
    let asked = stdout().is_terminal().then(|| tcgetwinsize(stdout()).ok()).flatten();
    let of_terminal = |given: u16| (given > 0).then_some(usize::from(given));
    let columns = asked.and_then(|size| of_terminal(size.ws_col)).or_else(|| variable("COLUMNS"));
    let lines = asked.and_then(|size| of_terminal(size.ws_row)).or_else(|| variable("LINES"));
    (columns.unwrap_or(80).clamp(40, 1000), lines.unwrap_or(usize::MAX))
}

/// The terminal while something is painted on it: keys come at once, and it is as before in the end. Where
/// the output is no terminal, one screen follows another.
pub struct Screen {
    before: Option<Termios>,
    paints: bool,
    ended: Arc<AtomicBool>,
}

/// What happened while waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time is over.
    Time,
    /// A key.
    Key(u8),
    /// The user has enough.
    End,
}

impl Screen {
    /// Leaves the terminal as it is: only signals end the waiting.
    pub fn without_keys() -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&ended))?;
        }
        Ok(Self { before: None, paints: false, ended })
    }

    /// Takes the terminal.
    pub fn open() -> io::Result<Self> {
        let mut screen = Self::without_keys()?;
        screen.paints = stdout().is_terminal();
        let before =
            if screen.paints && stdin().is_terminal() { tcgetattr(stdin()).ok() } else { None };
        if let Some(before) = &before {
            let mut now = before.clone();
            now.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            tcsetattr(stdin(), OptionalActions::Now, &now)?;
        }
        screen.before = before;
        if screen.paints {
            // The other screen, without a cursor.
            write!(stdout(), "\x1b[?1049h\x1b[?25l")?;
        }
        Ok(screen)
    }

    /// Shows a text, as much of it as there is room for.
    pub fn show(&self, text: &str) -> io::Result<()> {
        let mut out = stdout().lock();
        if !self.paints {
            writeln!(out, "{text}")?;
            return out.flush();
        }
        let (_, lines) = size();
        let mut painted = String::from("\x1b[H");
        for (at, line) in text.lines().take(lines).enumerate() {
            // Each line wipes what was to its right, so that nothing flickers.
            painted.push_str(if at == 0 { "" } else { "\r\n" });
            painted.push_str(line);
            painted.push_str("\x1b[K");
        }
        painted.push_str("\x1b[J");
        out.write_all(painted.as_bytes())?;
        out.flush()
    }

    /// Waits for a key or for the time to come.
    pub fn wait(&self, deadline: Instant) -> io::Result<Event> {
        loop {
            if self.ended.load(Relaxed) {
                return Ok(Event::End);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Event::Time);
            }
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let keys = stdin();
            let mut waited = [PollFd::new(&keys, PollFlags::IN)];
            let waited = if self.before.is_some() { &mut waited[..] } else { &mut [] };
            match poll(waited, Some(&left)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => {
                    let mut key = [0];
                    match rustix::io::read(&keys, &mut key) {
                        Ok(0) => return Ok(Event::End),
                        Ok(_) => return Ok(Event::Key(key[0])),
                        Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody to tell.
        if self.paints {
            let _ = write!(stdout(), "\x1b[?25h\x1b[?1049l");
            let _ = stdout().flush();
        }
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}
