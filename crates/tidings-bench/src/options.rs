use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::loads::Load;
use crate::run::{Figure, Run};
use crate::servers::Server;
use crate::servers::nchan::Nchan;
use crate::{check, cores, open_files, profile};

/// Measures Tidings and its peers side by side, under the same load.
///
/// Prints the tables, and writes docs/BENCHMARKS.md and its pictures. What is not measured this
/// time is kept from the last.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(subcommand)]
    role: Option<Role>,

    /// Measure these servers only
    #[arg(long, value_enum, value_delimiter = ',')]
    server: Vec<Server>,

    /// Take these figures only
    #[arg(long, value_enum, value_delimiter = ',')]
    figure: Vec<Figure>,

    /// Take the cost of a delivery under these loads only
    #[arg(long, value_enum, value_delimiter = ',')]
    load: Vec<Load>,

    /// Fewer rounds and clients: rough figures, soon
    #[arg(long)]
    quick: bool,

    /// The folder that BENCHMARKS.md is in; with `--quick` nothing is written unless it is given
    #[arg(long, value_name = "FOLDER")]
    docs: Option<PathBuf>,

    /// Measure nothing: write the document and its pictures from the last results
    #[arg(long)]
    rewrite: bool,

    /// Print where a server's instructions go under a load, and measure nothing else
    #[arg(long, num_args = 2, value_names = ["SERVER", "LOAD"])]
    profile: Option<Vec<String>>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be one of the servers
    Serve {
        #[arg(value_enum)]
        server: Server,
        /// The address to listen on; port 0 takes any that is free
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// See whether the servers work, with a few clients; all servers, if none is named
    Check {
        #[arg(value_enum)]
        server: Vec<Server>,
    },
}

impl Options {
    /// Does what the command line asks for.
    pub(crate) fn run(self) -> Result<(), Error> {
        open_files::raise_limit();
        match self.role {
            Some(Role::Serve { server, listen }) => return Ok(server.serve(listen)?),
            Some(Role::Check { server }) => return check_all(&installed(&server)),
            None => {}
        }
        if let Some(profile) = &self.profile {
            return print_profile(profile);
        }
        let docs = match self.docs {
            None if self.quick => None,
            None => Some(PathBuf::from("docs")),
            given => given,
        };
        if let Some(docs) = docs.as_ref().filter(|docs| !docs.is_dir()) {
            let docs = docs.display();
            return Err(Error::new(format!("there is no folder {docs}; name one with --docs")));
        }
        let servers = installed(&self.server);
        let or_all = |loads: Vec<Load>| if loads.is_empty() { Load::all().into() } else { loads };
        let figures = match self.figure {
            figures if figures.is_empty() => Figure::value_variants().into(),
            figures => figures,
        };
        let loads = or_all(self.load);
        Run { servers, figures, loads, quick: self.quick, docs }.run(self.rewrite)
    }
}

/// The servers that were named, or all; without those that are not installed, which is said.
fn installed(named: &[Server]) -> Vec<Server> {
    let servers = if named.is_empty() { Server::all() } else { named };
    let is_there = |server: &Server| match server {
        Server::Nchan => {
            Nchan::find().inspect_err(|missing| eprintln!("skipped: nchan: {missing}")).is_ok()
        }
        _ => true,
    };
    servers.iter().copied().filter(is_there).collect()
}

fn check_all(servers: &[Server]) -> Result<(), Error> {
    for server in servers {
        check::check(*server).map_err(|error| error.within(server.name()))?;
        println!("{} works", server.name());
    }
    Ok(())
}

fn print_profile(names: &[String]) -> Result<(), Error> {
    let [server, load] = names else {
        return Err(Error::new("a profile is of a server and a load"));
    };
    let server = Server::from_str(server, false).map_err(Error::new)?;
    let load = Load::from_str(load, false).map_err(Error::new)?;
    cores::keep_off_server();
    println!("instructions per delivery, without those of what is called");
    print!("{}", profile::profile(server, load, 40)?);
    Ok(())
}
