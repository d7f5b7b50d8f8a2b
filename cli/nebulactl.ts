#!/usr/bin/env node
import { main } from "./nebulactl/main.ts";

await main();
