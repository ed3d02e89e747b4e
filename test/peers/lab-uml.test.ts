import { umlSuite } from '../lab/uml-suite.js';

umlSuite('the lab: a kernel with ESP and AH', {
  files: ['dist/test/peers/uml/lab.js'],
  needs: ['charon', 'swanctl', 'tshark', 'tcpdump', 'iperf3', 'ping'],
  timeoutSeconds: 180,
});
