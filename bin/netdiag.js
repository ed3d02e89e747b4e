#!/usr/bin/env node
import { netdiagMain } from '../dist/src/cli/netdiag.js';

process.exitCode = await netdiagMain(process.argv.slice(2));
