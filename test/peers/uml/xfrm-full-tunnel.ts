/** The kernel as engine of a gateway's client. Runs inside User Mode Linux. */
import { fullTunnelTests } from '../full-tunnel.js';

fullTunnelTests('everything through the gateway with the xfrm driver', {
  engine: 'xfrm',
  esp: 'kernel-netlink',
  skip: false,
  only: [/names no network/, /contains the gateway/, /killed/, /^all of IPv6/],
});
