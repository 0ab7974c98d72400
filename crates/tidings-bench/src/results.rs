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

    /// The last results, if they are of the same instrument and machine.
    pub(crate) fn load(path: &Path, machine: Machine, instrument: Instrument) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        match serde_json::from_str::<Self>(&text) {
            Ok(results) if results.machine == machine && results.instrument == instrument => {
                results
            }
            _ => Self::new(machine, instrument),
        }
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
