//! The stream: which history it holds, and from where a replica can have all of it.

use std::sync::Arc;

use parking_lot::Mutex;
use redis::{Cmd, RedisError, RedisResult, Value, cmd};
use tidings::backend::{Epoch, LogError, LogErrorKind, Origin};

use crate::endpoint::Endpoint;
use crate::entry::bytes;
use crate::entry_id::EntryId;
use crate::error::{failed, refused};
use crate::history;
use crate::keys::Keys;
use crate::link::Link;
use crate::options::RedisOptions;
use crate::script::{CLAIM, OLDEST, STATE};
use crate::stream_state::StreamState;

/// What all parts of a log share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: RedisOptions,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) keys: Keys,
    /// For questions.
    pub(crate) link: Link,
    /// The history that the replica follows.
    epoch: Mutex<Option<Epoch>>,
    /// Why other nodes are not heard, if so.
    deafness: Mutex<Option<RedisError>>,
}

impl Engine {
    pub(crate) fn new(options: RedisOptions, endpoint: Endpoint) -> Self {
        let endpoint = Arc::new(endpoint);
        let keys = Keys::new(&options.name, endpoint.database());
        let link = Link::new(endpoint.clone(), keys.stream.clone(), options.answer_timeout);
        let (epoch, deafness) = (Mutex::default(), Mutex::default());
        Self { options, endpoint, keys, link, epoch, deafness }
    }

    /// The history that the replica follows.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch.lock().clone()
    }

    /// Other nodes are heard from now on, or not any more.
    pub(crate) fn hears(&self, outcome: Result<(), RedisError>) {
        *self.deafness.lock() = outcome.err();
    }

    /// Whether other nodes are heard.
    pub(crate) fn check_hearing(&self) -> Result<(), LogError> {
        let deafness = self.deafness.lock().clone();
        deafness.map_or(Ok(()), |error| Err(failed("hear other nodes", &error)))
    }

    /// Finds out which history the stream holds and from where a replica can have all of it. Begins a
    /// history where there is none, or where it is the one that is `broken`.
    pub(crate) async fn begin(&self, broken: Option<&Epoch>) -> Result<Origin, LogError> {
        let epoch = self.history(broken).await?;
        let origin = self.origin(epoch.clone()).await?;
        *self.epoch.lock() = Some(epoch);
        Ok(origin)
    }

    async fn history(&self, broken: Option<&Epoch>) -> Result<Epoch, LogError> {
        // Other nodes may do the same, and one wins each time.
        const ATTEMPTS: usize = 10;

        for _ in 0..ATTEMPTS {
            let state = self.state(None).await?;
            let group = state.as_ref().and_then(StreamState::history);
            if let Some(group) = group {
                let epoch = history::epoch(group).ok_or_else(|| unreadable(group))?;
                if Some(&epoch) != broken {
                    return Ok(epoch);
                }
            }
            let mut claim = CLAIM.on(&[&self.keys.stream]);
            claim.arg(group.unwrap_or_default()).arg(history::group(&Epoch::random()));
            self.ask("begin a history", &claim).await?;
        }
        Err(LogError::new(LogErrorKind::Unavailable, "redis: other nodes change the history"))
    }

    /// Where a replica begins: far enough back, and no event after it is gone.
    async fn origin(&self, epoch: Epoch) -> Result<Origin, LogError> {
        let Some(state) = self.state(None).await? else {
            return Ok(Origin::new(epoch, 0, 0));
        };
        let position = |id: EntryId| {
            id.position().ok_or_else(|| {
                let stream = &self.keys.stream;
                let message = format!("redis: {stream}: its id {id} is too large for a position");
                LogError::new(LogErrorKind::Corrupt, message)
            })
        };
        let end = position(state.newest.unwrap_or_default())?;
        let origin = position(self.entry_before_replay(&state).await?)?;
        Ok(Origin::new(epoch, origin, end.max(origin)))
    }

    async fn entry_before_replay(&self, state: &StreamState) -> Result<EntryId, LogError> {
        const STEP: u64 = 500;

        let mut left = self.options.replay.max(1);
        if state.length <= left && state.is_complete() {
            return Ok(EntryId::ZERO);
        }
        // An entry that is present, so that it shows whether the stream continues it.
        let mut reached = state.first.unwrap_or(state.last_generated);
        if state.length <= left {
            return Ok(reached);
        }
        let mut before = "+".to_owned();
        while left > 0 {
            let step = left.min(STEP);
            let mut oldest = OLDEST.on(&[&self.keys.stream]);
            oldest.arg(before).arg(step);
            let oldest = self.ask("read", &oldest).await.map(bytes)?;
            let oldest = oldest.map_err(|error| failed("read", &error))?;
            let Some(oldest) = EntryId::parse(&oldest) else { break };
            reached = oldest;
            before = format!("({reached}");
            left -= step;
        }
        Ok(reached)
    }

    /// The state of the stream; `None` where there is no stream. See [`STATE`] for `entry`.
    pub(crate) async fn state(
        &self,
        entry: Option<EntryId>,
    ) -> Result<Option<StreamState>, LogError> {
        let answer = self.ask("read the stream's state", &self.state_command(entry)).await?;
        StreamState::read(answer).map_err(|error| failed("read the stream's state", &error))
    }

    pub(crate) fn state_command(&self, entry: Option<EntryId>) -> Cmd {
        let Keys { stream, ends, ends_by_time, .. } = &self.keys;
        let mut command = STATE.on(&[stream, ends, ends_by_time]);
        command
            .arg(entry.map_or_else(String::new, |id| id.to_string()))
            .arg(self.options.max_events)
            .arg(self.options.max_age_millis().to_string());
        command
    }

    pub(crate) async fn ask(&self, action: &str, command: &Cmd) -> Result<Value, LogError> {
        self.link.ask(command).await.map_err(|error| failed(action, &error))
    }

    /// Whether the log can be kept on this server.
    pub(crate) async fn check_server(&self) -> Result<(), LogError> {
        for (section, check) in
            [("server", check_version as fn(&str) -> _), ("memory", check_eviction)]
        {
            let answer = self.ask("read INFO", cmd("INFO").arg(section)).await?;
            let text = info(answer).map_err(|error| failed("read INFO", &error))?;
            check(&text)?;
        }
        Ok(())
    }
}

fn info(answer: Value) -> RedisResult<String> {
    let text = match answer {
        Value::VerbatimString { text, .. } => text.into_bytes(),
        answer => bytes(answer)?,
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn check_version(info: &str) -> Result<(), LogError> {
    const OLDEST: (u32, u32) = (6, 2);

    let version = field(info, "redis_version").unwrap_or("unknown");
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST {
        return Ok(());
    }
    let (major, minor) = OLDEST;
    Err(refused(format_args!("version {version} is too old: {major}.{minor} or newer is needed")))
}

fn check_eviction(info: &str) -> Result<(), LogError> {
    let policy = field(info, "maxmemory_policy").unwrap_or_default();
    if policy.starts_with("allkeys") && field(info, "maxmemory") != Some("0") {
        return Err(refused(format_args!(
            "maxmemory-policy: {policy} may evict the log; noeviction is needed, or a policy for \
             volatile keys"
        )));
    }
    Ok(())
}

fn unreadable(group: &str) -> LogError {
    let message = format!("redis: the group {group:?} does not name a history");
    LogError::new(LogErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_too_old_are_refused() {
        for version in ["6.2.0", "7.0.15", "10.0"] {
            assert!(check_version(&format!("# Server\r\nredis_version:{version}\r\n")).is_ok());
        }
        let error = check_version("redis_version:6.0.16").unwrap_err();
        assert_eq!(error.to_string(), "redis: version 6.0.16 is too old: 6.2 or newer is needed");
        assert!(check_version("").is_err());
    }

    #[test]
    fn servers_that_may_evict_the_log_are_refused() {
        let info = |max: &str, policy: &str| {
            format!("# Memory\r\nmaxmemory:{max}\r\nmaxmemory_policy:{policy}\r\n")
        };
        assert!(check_eviction(&info("0", "allkeys-lru")).is_ok());
        assert!(check_eviction(&info("1000", "noeviction")).is_ok());
        assert!(check_eviction(&info("1000", "volatile-lru")).is_ok());
        let error = check_eviction(&info("1000", "allkeys-lru")).unwrap_err();
        assert!(error.to_string().starts_with("redis: maxmemory-policy: allkeys-lru may evict"));
    }
}
