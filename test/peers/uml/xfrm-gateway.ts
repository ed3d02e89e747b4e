/** The kernel as engine on a gateway. Runs inside User Mode Linux. */
import { gatewayBehaviour } from '../../support/gateway-behaviour.js';
import { TcpdumpWitness } from '../../support/tcpdump-witness.js';

gatewayBehaviour('gateways with the xfrm driver', {
  engine: 'xfrm',
  skip: false,
  witness: gateways => TcpdumpWitness.on(gateways),
});
