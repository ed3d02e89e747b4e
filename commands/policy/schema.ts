import { IpseckitCommand } from '../../src/cli/base.js';
import { policyJsonSchema } from '../../src/policy/document.js';
import type { JsonSchema } from '../../src/policy/schema.js';

export default class PolicySchemaCommand extends IpseckitCommand<JsonSchema> {
  static override summary = 'print the JSON Schema of .json policies';
  static override description =
    'For editors and validators (draft 2020-12); "man ipseckit-policy" explains the fields. It says what a document looks like: whether a policy makes sense, "policy validate" and "policy lint" say.';

  async run(): Promise<JsonSchema> {
    await this.parse(PolicySchemaCommand);
    const schema = policyJsonSchema();
    this.print(JSON.stringify(schema, null, 2));
    return schema;
  }
}
