#!/usr/bin/env node
import { ipsecpolMain } from '../dist/src/cli/ipsecpol.js';

process.exitCode = await ipsecpolMain(process.argv.slice(2));
