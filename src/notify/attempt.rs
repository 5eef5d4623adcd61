//! All channels at once, each tried twice, nobody waited for without end.

use super::healthcheck::{self, Ping};
use super::http::Http;
use super::masks::Masks;
use super::message::{Message, one_line};
use super::settings::{Channel, Channels};
use super::{mail, telegram, webhook};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long we wait for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For each step of an attempt; a whole one has two times this long.
    pub attempt: Duration,
    /// Between two attempts.
    pub pause: Duration,
    /// The longest pause that a server gets, however long it asks for.
    pub pause_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            attempt: Duration::from_secs(30),
            pause: Duration::from_secs(5),
            pause_max: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// After this an attempt has failed, whatever it does: a server that drips a line now
    /// and then keeps every step within its limit.
    fn whole_attempt(&self) -> Duration {
        self.attempt * 2
    }
}

/// What became of a message on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which.
    pub channel: Channel,
    /// Whether the other end has taken it.
    pub is_delivered: bool,
    /// Why attempts failed, one sentence each, without secrets. There may be
    /// one although a later attempt worked.
    pub failures: Vec<String>,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What was being done and what went wrong. May still hold secrets.
    pub(super) reason: String,
    pub(super) again: Again,
}

/// Whether there is a second attempt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Again {
    /// After the usual pause.
    AsUsual,
    /// When the other end wants us to come back.
    After(Duration),
    /// It would do harm.
    Never,
}

impl Trouble {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Trouble { reason: reason.into(), again: Again::AsUsual }
    }
}

/// Sends `message` through every channel that is for messages (all but
/// healthchecks), at the same time. `is_urgent` is asked now and then: once it
/// says yes, nobody is waited for any longer.
pub fn send(
    channels: &Channels,
    message: &Message,
    patience: &Patience,
    is_urgent: &dyn Fn() -> bool,
) -> Vec<Delivery> {
    let patience = *patience;
    let mut running = Vec::new();
    if let Some(settings) = channels.telegram.clone() {
        let (message, proxy) = (message.clone(), channels.proxy.clone());
        running.push(Running::start(Channel::Telegram, patience, move |masks| {
            telegram::send(&settings, &message, &Http::new(proxy.as_ref(), patience.attempt, masks)?, masks)
        }));
    }
    if let Some(settings) = channels.mail.clone() {
        let message = message.clone();
        running.push(Running::start(Channel::Mail, patience, move |masks| {
            mail::send(&settings, &message, patience.attempt, masks)
        }));
    }
    if let Some(settings) = channels.webhook.clone() {
        let (message, proxy) = (message.clone(), channels.proxy.clone());
        running.push(Running::start(Channel::Webhook, patience, move |masks| {
            webhook::send(&settings, &message, &Http::new(proxy.as_ref(), patience.attempt, masks)?, masks)
        }));
    }
    running.into_iter().map(|channel| channel.wait(is_urgent)).collect()
}

/// Begins to send a ping; `None` where no healthcheck is configured. The caller
/// collects what became of it by calling what is returned, which waits.
pub fn ping(
    channels: &Channels,
    ping: Ping,
    patience: &Patience,
) -> Option<impl FnOnce(&dyn Fn() -> bool) -> Delivery + use<>> {
    let settings = channels.healthcheck.clone()?;
    let (patience, proxy) = (*patience, channels.proxy.clone());
    let running = Running::start(Channel::Healthcheck, patience, move |masks| {
        healthcheck::send(&settings, &ping, &Http::new(proxy.as_ref(), patience.attempt, masks)?, masks)
    });
    Some(move |is_urgent: &dyn Fn() -> bool| running.wait(is_urgent))
}

/// A channel at work in a thread of its own. Name resolution and a server that
/// drips cannot be ended from outside: such an attempt is left behind.
struct Running {
    channel: Channel,
    failures: Receiver<Attempted>,
}

enum Attempted {
    Failed(String),
    Worked,
}

/// One attempt, in a thread of its own that is left behind when it finds no end. The words
/// of its trouble are without secrets.
fn within(
    limit: Duration,
    channel: Channel,
    attempt: Arc<impl Fn(&mut Masks) -> Result<(), Trouble> + Send + Sync + 'static>,
) -> Result<(), Trouble> {
    let (tell, ended) = mpsc::channel();
    let work = move || {
        let mut masks = Masks::default();
        let result = attempt(&mut masks)
            .map_err(|trouble| Trouble { reason: one_line(&masks.clean(&trouble.reason)), ..trouble });
        let _ = tell.send(result);
    };
    std::thread::Builder::new()
        .name(channel.name().to_owned())
        .spawn(work)
        .map_err(|error| Trouble::new(format!("no thread could be started: {error}")))?;
    match ended.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(Trouble::new(format!("given up: no end of it within {} seconds", limit.as_secs_f64())))
        }
        Err(RecvTimeoutError::Disconnected) => Err(Trouble::new("the attempt broke off")),
    }
}

impl Running {
    fn start(
        channel: Channel,
        patience: Patience,
        attempt: impl Fn(&mut Masks) -> Result<(), Trouble> + Send + Sync + 'static,
    ) -> Running {
        let attempt = Arc::new(attempt);
        let (tell, failures) = mpsc::channel();
        let told = tell.clone();
        let work = move || {
            for is_last in [false, true] {
                let Err(trouble) = within(patience.whole_attempt(), channel, attempt.clone()) else {
                    let _ = tell.send(Attempted::Worked);
                    return;
                };
                let _ = tell.send(Attempted::Failed(trouble.reason));
                let pause = match trouble.again {
                    Again::AsUsual => patience.pause,
                    Again::After(pause) => pause.min(patience.pause_max),
                    Again::Never => return,
                };
                if is_last {
                    return;
                }
                std::thread::sleep(pause);
            }
        };
        if let Err(error) = std::thread::Builder::new().name(channel.name().to_owned()).spawn(work) {
            let _ = told.send(Attempted::Failed(format!("no thread could be started: {error}")));
        }
        Running { channel, failures }
    }

    fn wait(self, is_urgent: &dyn Fn() -> bool) -> Delivery {
        let mut delivery = Delivery { channel: self.channel, is_delivered: false, failures: Vec::new() };
        loop {
            match self.failures.recv_timeout(Duration::from_millis(100)) {
                Ok(Attempted::Failed(reason)) => delivery.failures.push(reason),
                Ok(Attempted::Worked) => {
                    delivery.is_delivered = true;
                    return delivery;
                }
                Err(RecvTimeoutError::Disconnected) => return delivery,
                Err(RecvTimeoutError::Timeout) if is_urgent() => {
                    delivery.failures.push("given up, because the run was told to end at once".into());
                    return delivery;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const PATIENCE: Patience = Patience {
        attempt: Duration::from_millis(50),
        pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(100),
    };

    fn tried(attempt: impl Fn(usize) -> Result<(), Trouble> + Send + Sync + 'static) -> (Delivery, usize) {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let running = Running::start(Channel::Webhook, PATIENCE, move |masks| {
            masks.hide("hunter2");
            attempt(counted.fetch_add(1, Ordering::SeqCst))
        });
        (running.wait(&|| false), tries.load(Ordering::SeqCst))
    }

    #[test]
    fn what_fails_is_tried_once_more_and_no_more() {
        let (delivery, tries) = tried(|_| Err(Trouble::new("hunter2\nis wrong")));
        assert_eq!((delivery.is_delivered, tries), (false, 2));
        assert_eq!(delivery.failures, ["*** is wrong", "*** is wrong"]);
        let (delivery, tries) = tried(|number| if number == 0 { Err(Trouble::new("busy")) } else { Ok(()) });
        assert_eq!((delivery.is_delivered, tries), (true, 2));
        assert_eq!(delivery.failures, ["busy"]);
        assert_eq!(tried(|_| Ok(())).1, 1);
    }

    #[test]
    fn a_server_that_asks_for_a_long_pause_gets_the_longest_and_is_asked_once_more() {
        let ask =
            |seconds| Trouble { reason: "slow".into(), again: Again::After(Duration::from_secs(seconds)) };
        assert_eq!(tried(move |_| Err(ask(0))).1, 2);
        let begun = std::time::Instant::now();
        assert_eq!(tried(move |_| Err(ask(3_600))).1, 2);
        assert!(begun.elapsed() >= PATIENCE.pause_max);
    }

    #[test]
    fn what_never_ends_is_given_up_and_at_once_when_it_is_urgent() {
        let hang = |_| -> Result<(), Trouble> {
            std::thread::sleep(Duration::from_secs(3_600));
            Ok(())
        };
        assert_eq!(tried(hang).0.failures, ["given up: no end of it within 0.1 seconds"; 2]);
        let running = Running::start(Channel::Mail, Patience::default(), move |_| hang(0));
        let delivery = running.wait(&|| true);
        assert!(delivery.failures[0].contains("told to end at once"), "{delivery:?}");
    }
}
