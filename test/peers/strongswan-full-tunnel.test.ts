/** All traffic of a client through a gateway, with the engine in user space. */
import { needs } from '../lab/needs.js';
import { fullTunnelTests } from './full-tunnel.js';

fullTunnelTests('everything through the gateway', {
  engine: 'userspace',
  esp: 'kernel-libipsec',
  skip: needs('charon', 'nft', 'ping', 'xauth-generic'),
});
