import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where state lives. The folders may not exist yet. */
export interface Home {
  /** Policies and certificates; survives a restart. */
  readonly state: string;
  /** Control socket and live state; gone after a restart. */
  readonly runtime: string;
}

/**
 * `IPSECKIT_HOME` for all state with its runtime folder `run`, so that several hosts can live on one machine; else
 * `/etc/ipseckit` and `/run/ipseckit` for root, and the XDG folders for anyone else.
 */
export function ipseckitHome(env: NodeJS.ProcessEnv = process.env, userId = process.getuid?.()): Home {
  if (env.IPSECKIT_HOME) {
    const state = resolve(env.IPSECKIT_HOME);
    return { state, runtime: join(state, 'run') };
  }
  if (userId === 0) return { state: '/etc/ipseckit', runtime: '/run/ipseckit' };
  const home = env.HOME || homedir();
  const config = env.XDG_CONFIG_HOME || join(home, '.config');
  const runtime = env.XDG_RUNTIME_DIR || env.XDG_CACHE_HOME || join(home, '.cache');
  return { state: join(config, 'ipseckit'), runtime: join(runtime, 'ipseckit') };
}

/** The folder of the local policy store. */
export function localStoreFolder(home: Home): string {
  return join(home.state, 'policies');
}
