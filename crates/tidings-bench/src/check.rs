//! Checks with a small load that a server works.

use crate::clients::Fleet;
use crate::error::Error;
use crate::loads::{subscription, topic};
use crate::process::Process;
use crate::publisher::Publisher;
use crate::servers::Server;
use crate::stamp::Clock;

/// Three clients must receive five events once, and the other endpoint must respond.
pub(crate) fn check(server: Server) -> Result<(), Error> {
    let process = Process::start(server)?;
    let outcome = three_clients(&process, server);
    outcome.map_err(|error| match process.complaints() {
        complaints if complaints.is_empty() => error,
        complaints => error.within(complaints),
    })
}

fn three_clients(process: &Process, server: Server) -> Result<(), Error> {
    let clock = Clock::new();
    let mut fleet = Fleet::new(process.addr(), clock)?;
    fleet.connect(3, |_| subscription(server, &[topic(0), topic(1)]))?;
    let mut publisher = Publisher::connect(process.addr(), server != Server::Nchan)?;
    publisher.ping()?;
    if server.publishes() {
        fleet.expect(5);
        publisher.publish(&[topic(0)], 4, &clock.now().data(200))?;
        publisher.publish(&[topic(1)], 1, &clock.now().data(20))?;
        // No client subscribes to this topic.
        publisher.publish(&[topic(2)], 1, &clock.now().data(20))?;
        fleet.wait_for_each()?;
        publisher.ping()?;
        if !fleet.each_has_exactly(5) {
            return Err(Error::new("a client has not received exactly five events"));
        }
    }
    Ok(())
}
