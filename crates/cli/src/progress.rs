//! A line on the terminal while something takes long.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What ends sooner needs no line.
const QUIET: Duration = Duration::from_secs(1);
/// How often the line is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Shows what is being done and for how long, on standard error, when that is a terminal and the work takes
/// longer than a second. The line goes away with the value.
pub struct Progress {
    says: Option<Sender<String>>,
    drawer: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts to count.
    pub fn start(what: &str) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress { says: None, drawer: None };
        }
        let (says, heard) = channel::<String>();
        let mut text = what.to_owned();
        let drawer = std::thread::spawn(move || {
            let started = Instant::now();
            let mut drawn = false;
            loop {
                match heard.recv_timeout(TICK) {
                    Ok(news) => text = news,
                    Err(RecvTimeoutError::Timeout) if started.elapsed() >= QUIET => {
                        draw(&format!("{text} ... {} s", started.elapsed().as_secs()));
                        drawn = true;
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            if drawn {
                draw("");
            }
        });
        Progress { says: Some(says), drawer: Some(drawer) }
    }

    /// Says what is being done now.
    pub fn say(&self, text: String) {
        if let Some(says) = &self.says {
            // The drawer lives as long as this value.
            let _ = says.send(text);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.says.take());
        if let Some(drawer) = self.drawer.take() {
            let _ = drawer.join();
        }
    }
}

/// Writes over the line where the cursor is. A terminal that went away is no error.
fn draw(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[2K{text}");
    let _ = stderr.flush();
}
