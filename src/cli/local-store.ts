import { ipseckitHome, localStoreFolder } from '../policy/stores/home.js';
import { LocalStore } from '../policy/stores/local.js';

/** The local policy store of this home (`IPSECKIT_HOME`). */
export function localStore(): LocalStore {
  return new LocalStore(localStoreFolder(ipseckitHome()));
}
