/** The user-space driver on a gateway. Needs root or user namespaces. */
import { driverSuiteSkip, Witness } from '../../support/driver-suite.js';
import { gatewayBehaviour } from '../../support/gateway-behaviour.js';

const skip = driverSuiteSkip();

gatewayBehaviour('gateways with the user-space driver', {
  engine: 'userspace',
  skip,
  witness: async gateways => new Witness(gateways.b),
});
