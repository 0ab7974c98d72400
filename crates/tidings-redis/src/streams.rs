//! The streams of a log: which history they hold, and from where a replica can have all of it.

use std::sync::{Arc, Mutex, PoisonError};

use redis::{Cmd, RedisResult, Value, cmd};
use tidings::backend::{LogError, LogErrorKind, Origin};

use crate::endpoint::Endpoint;
use crate::entry::{bytes, entries};
use crate::error::{failed, refused};
use crate::keys::Keys;
use crate::link::Link;
use crate::position::EntryId;
use crate::script::{CLAIM, STATE};
use crate::settings::Settings;
use crate::state::State;
use crate::tag::Tag;

/// What all parts of a log share.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) settings: Settings,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) keys: Keys,
    /// For questions about each stream.
    pub(crate) links: Vec<Link>,
    /// The history that the replica follows.
    tag: Mutex<Option<Tag>>,
}

/// From where a replica can have all of a history.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) tag: Tag,
    pub(crate) position: u64,
    /// The newest event there is.
    end: u64,
}

impl Beginning {
    pub(crate) fn origin(&self) -> Origin {
        Origin { epoch: self.tag.epoch.clone(), position: self.position, end: self.end }
    }
}

impl Streams {
    pub(crate) fn new(settings: Settings, endpoint: Endpoint) -> Self {
        let endpoint = Arc::new(endpoint);
        let keys = Keys::new(&settings.name, settings.keys);
        let link = |index| Link::new(endpoint.clone(), keys.stream(index), settings.answer_timeout);
        let links = (0..keys.count()).map(link).collect();
        Self { settings, endpoint, keys, links, tag: Mutex::default() }
    }

    /// The history that the replica follows.
    pub(crate) fn tag(&self) -> Option<Tag> {
        self.tag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds out which history the streams hold, or begins one where there is none, or where it is one
    /// that is `broken`.
    pub(crate) async fn begin(&self, broken: Option<&Tag>) -> Result<Beginning, LogError> {
        let tag = self.history(broken.cloned()).await?;
        let (position, end) = self.reach().await?;
        *self.tag.lock().unwrap_or_else(PoisonError::into_inner) = Some(tag.clone());
        Ok(Beginning { tag, position, end })
    }

    async fn history(&self, mut broken: Option<Tag>) -> Result<Tag, LogError> {
        // Other nodes may be at the same, and one wins each time.
        const ATTEMPTS: usize = 10;

        for _ in 0..ATTEMPTS {
            let state = self.state(0, None).await?;
            let found = state.as_ref().and_then(State::tag);
            let tag =
                found.map(|tag| Tag::parse(tag).ok_or_else(|| unreadable(tag))).transpose()?;
            let tag = match tag {
                Some(tag) if Some(&tag) != broken.as_ref() => tag,
                before => {
                    self.begin_anew(before.as_ref()).await?;
                    continue;
                }
            };
            let (theirs, ours) = (tag.keys, self.keys.count());
            if theirs != ours {
                return Err(refused(format_args!(
                    "keys: the log {:?} is spread over {theirs} keys and not over {ours}",
                    self.settings.name,
                )));
            }
            if self.all_have(&tag).await? {
                return Ok(tag);
            }
            broken = Some(tag);
        }
        Err(LogError::new(LogErrorKind::Unavailable, "redis: other nodes change the history"))
    }

    /// Whether the other streams belong to the history of the first.
    async fn all_have(&self, tag: &Tag) -> Result<bool, LogError> {
        for index in 1..self.keys.count() {
            let state = self.state(index, None).await?;
            if !state.is_some_and(|state| state.has_tag(tag.as_str())) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the streams a new name, unless another node is faster. The first stream is the last to
    /// have it, and decides.
    async fn begin_anew(&self, before: Option<&Tag>) -> Result<(), LogError> {
        let tag = Tag::random(self.keys.count());
        for index in 1..self.keys.count() {
            let mut create = cmd("XGROUP");
            create.arg("CREATE").arg(self.keys.stream(index)).arg(tag.as_str());
            create.arg("$").arg("MKSTREAM");
            self.ask(index, "begin a history", &create).await?;
        }
        let mut claim = CLAIM.on(&self.keys.stream(0));
        claim.arg(before.map_or("", Tag::as_str)).arg(tag.as_str());
        self.ask(0, "begin a history", &claim).await.map(drop)
    }

    /// The position behind which all events are there, far enough back for a replica, and that of the
    /// newest event.
    async fn reach(&self) -> Result<(u64, u64), LogError> {
        let (mut origin, mut end) = (0, 0);
        for index in 0..self.keys.count() {
            let Some(state) = self.state(index, None).await? else { continue };
            let position = |id: EntryId| {
                id.position(index).ok_or_else(|| {
                    let stream = self.keys.stream(index);
                    let cause = "beyond the ids that Redis generates";
                    let message = format!("redis: {stream} has come to the id {id}, {cause}");
                    LogError::new(LogErrorKind::Corrupt, message)
                })
            };
            end = end.max(position(state.newest.unwrap_or_default())?);
            origin = origin.max(position(self.stream_origin(index, &state).await?)?);
        }
        Ok((origin, end.max(origin)))
    }

    async fn stream_origin(&self, index: usize, state: &State) -> Result<EntryId, LogError> {
        const STEP: u64 = 500;

        let mut left = (self.settings.replay / self.keys.count() as u64).max(1);
        if state.length <= left && state.is_complete() {
            return Ok(EntryId::ZERO);
        }
        // An entry that is there, so that it shows whether the stream goes on behind it.
        let mut reached = state.first.unwrap_or(state.last_generated);
        if state.length <= left {
            return Ok(reached);
        }
        let mut before = "+".to_owned();
        while left > 0 {
            let mut range = cmd("XREVRANGE");
            range
                .arg(self.keys.stream(index))
                .arg(before)
                .arg("-")
                .arg("COUNT")
                .arg(left.min(STEP));
            let step = self.ask(index, "read", &range).await.map(entries)?;
            let step = step.map_err(|error| failed("read", &error))?;
            let Some(oldest) = step.last() else { break };
            reached = oldest.id;
            before = format!("({reached}");
            left = left.saturating_sub(step.len() as u64);
        }
        Ok(reached)
    }

    /// How a stream is; `None` where there is none.
    pub(crate) async fn state(
        &self,
        index: usize,
        about: Option<EntryId>,
    ) -> Result<Option<State>, LogError> {
        let answer =
            self.ask(index, "ask for the state", &self.state_command(index, about)).await?;
        State::read(answer).map_err(|error| failed("ask for the state", &error))
    }

    pub(crate) fn state_command(&self, index: usize, about: Option<EntryId>) -> Cmd {
        let mut command = STATE.on(&self.keys.stream(index));
        command
            .arg(about.map_or_else(String::new, |id| id.to_string()))
            .arg(self.settings.max_events_per_key())
            .arg(self.settings.max_age_millis().to_string());
        command
    }

    pub(crate) async fn ask(
        &self,
        index: usize,
        action: &str,
        command: &Cmd,
    ) -> Result<Value, LogError> {
        self.links[index].ask(command).await.map_err(|error| failed(action, &error))
    }

    /// Whether the server is one that this log does with.
    pub(crate) async fn check_servers(&self) -> Result<(), LogError> {
        for index in 0..self.keys.count() {
            for (section, check) in
                [("server", check_version as fn(&str) -> _), ("memory", check_eviction)]
            {
                let answer = self.ask(index, "ask for INFO", cmd("INFO").arg(section)).await?;
                let text = info(answer).map_err(|error| failed("read INFO", &error))?;
                check(&text)?;
            }
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

fn unreadable(tag: &str) -> LogError {
    let message = format!("redis: the group {tag:?} does not name a history");
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
        assert_eq!(error.to_string(), "redis: version 6.0.16 is too old: 6.2 or newer is needed",);
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
