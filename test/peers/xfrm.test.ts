/** The kernel as engine, on a machine whose kernel has ESP and AH. */
import { umlSuite } from '../lab/uml-suite.js';

umlSuite('the kernel as engine', {
  files: [
    'dist/test/peers/uml/xfrm-behaviour.js',
    'dist/test/peers/uml/xfrm-lifecycle.js',
    'dist/test/peers/uml/xfrm-gateway.js',
    'dist/test/peers/uml/xfrm-strongswan.js',
    'dist/test/peers/uml/xfrm-full-tunnel.js',
  ],
  needs: ['charon', 'ping', 'tcpdump', 'xauth-generic'],
  timeoutSeconds: 900,
});
