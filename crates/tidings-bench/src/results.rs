//! Everything that was measured. It is kept in a file, so that a part can be measured again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cost::{Cost, Time};
use crate::distribution::Distribution;
use crate::error::Error;
use crate::instrument::Instrument;
use crate::latency::Crowd;
use crate::loads::Load;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::servers::Server;
use crate::storm::Storm;

/// The results of one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) instrument: Instrument,
    pub(crate) servers: BTreeMap<Server, Figures>,
}

/// The figures of a server, as far as they were measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) versions: String,
    #[serde(default)]
    pub(crate) cost: BTreeMap<Load, Cost>,
    #[serde(default)]
    pub(crate) time: BTreeMap<Load, Time>,
    pub(crate) memory: Option<Memory>,
    pub(crate) receipt: Option<Distribution>,
    pub(crate) crowd: Option<Crowd>,
    pub(crate) storm: Option<Storm>,
    /// User instructions per delivery, by the number of clients.
    #[serde(default)]
    pub(crate) scaling: Vec<(usize, f64)>,
    /// KiB of memory, by the number of published events.
    #[serde(default)]
    pub(crate) steadiness: Vec<(u64, f64)>,
}

impl Results {
    /// No results yet.
    pub(crate) fn new(machine: Machine, instrument: Instrument) -> Self {
        Self { machine, instrument, servers: BTreeMap::new() }
    }

    /// The last results.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let within = |error: Error| error.within(path.display());
        let text = fs::read_to_string(path).map_err(|error| within(error.into()))?;
        serde_json::from_str(&text).map_err(|error| within(Error::new(error.to_string())))
    }

    /// The last results, if there are any, to which a part is added. An error if they are of another instrument or
    /// machine: figures of two cannot be compared.
    pub(crate) fn to_add_to(
        path: &Path,
        machine: Machine,
        instrument: Instrument,
    ) -> Result<Self, Error> {
        if !path.exists() {
            return Ok(Self::new(machine, instrument));
        }
        let results = Self::load(path)?;
        if results.machine == machine && results.instrument == instrument {
            return Ok(results);
        }
        Err(Error::new(format!(
            "{}: is of another machine or instrument: {} Measure everything, or name another folder with --docs",
            path.display(),
            results.machine.sentence()
        )))
    }

    /// Writes them to a file.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Error> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| Error::new(error.to_string()))?;
        Ok(fs::write(path, text + "\n")?)
    }

    /// The user instructions per delivery, if they were measured.
    pub(crate) fn instructions(&self, server: Server, load: Load) -> Option<f64> {
        Some(self.servers.get(&server)?.cost.get(&load)?.user_instructions)
    }

    /// The memory of idle connections, if it was measured.
    pub(crate) fn memory(&self, server: Server) -> Option<Memory> {
        self.servers.get(&server)?.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(machine: &Machine) -> Machine {
        let mut other = serde_json::to_value(machine).unwrap();
        other["kernel"] = "1.0".into();
        serde_json::from_value(other).unwrap()
    }

    #[test]
    fn a_part_is_added_to_results_of_the_same_machine_only() {
        let (here, instrument) = (Machine::here(), Instrument::Callgrind);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let of = |machine: &Machine| Results::to_add_to(&path, machine.clone(), instrument);
        assert!(of(&here).unwrap().servers.is_empty());

        let mut results = Results::new(here.clone(), instrument);
        results.servers.insert(Server::RawEpoll, Figures::default());
        results.save(&path).unwrap();
        assert_eq!(of(&here).unwrap().servers.len(), 1);
        let error = of(&elsewhere(&here)).unwrap_err().to_string();
        assert!(error.contains("results.json: is of another machine"), "{error}");

        fs::write(&path, "{").unwrap();
        let error = of(&here).unwrap_err().to_string();
        assert!(error.contains("results.json: EOF"), "{error}");
    }
}
