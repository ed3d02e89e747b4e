/** The kernel as engine: what every driver does. Runs inside User Mode Linux. */
import { driverBehaviour } from '../../support/driver-behaviour.js';
import { TcpdumpWitness } from '../../support/tcpdump-witness.js';

driverBehaviour('xfrm driver between two hosts', {
  engine: 'xfrm',
  ipv6: true,
  skip: false,
  witness: hosts => TcpdumpWitness.on(hosts),
  countsFilters: false,
  // With strongSwan it is.
  withTcp: () => false,
});
