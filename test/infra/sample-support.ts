/** The sample's templates, synthesised once for each file of tests and route, without bundling the functions. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { BUNDLING_STACKS } from 'aws-cdk-lib/cx-api';
import { onTestFinished } from 'vitest';
import { addSample } from '../../infra/sample.ts';
import { makeApp, type Route } from '../../infra/synth.ts';

/** Both ways to the database. */
export const ROUTES: readonly Route[] = ['proxy', 'direct'];

/** A resource of a template. */
export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DependsOn?: readonly string[];
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

/** Adds the sample to an app that bundles nothing. */
export function sampleOf(route: Route, context: Readonly<Record<string, unknown>> = {}): { app: App; stack: Stack } {
  const app = makeApp(route, { context: { [BUNDLING_STACKS]: [], ...context } });
  return { app, stack: addSample(app) };
}

const templates = new Map<string, Template>();

/** Returns the template of a route. */
export function templateOf(route: Route, context: Readonly<Record<string, unknown>> = {}): Template {
  const key = JSON.stringify([route, context]);
  const template = templates.get(key) ?? Template.fromStack(sampleOf(route, context).stack);
  templates.set(key, template);
  return template;
}

/** Returns the resources of one type by their logical ids. */
export function resourcesOf(template: Template, type: string): Readonly<Record<string, Resource>> {
  return template.findResources(type) as Record<string, Resource>;
}

/** Makes a folder that goes when the test has ended. */
export function folderForTest(): string {
  const folder = mkdtempSync(join(tmpdir(), 'thawpool-infra-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
