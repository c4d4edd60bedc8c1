// The form of a task, made from the schema of its arguments.

/** The tasks that can be queued, by name, as the OpenAPI document has them. */
export function findTasks(document) {
  const found = new Map();
  for (const [path, { post }] of Object.entries(document.paths)) {
    const name = /^\/api\/v1\/tasks\/([^/{}]+)$/.exec(path)?.[1];
    if (!name || !post) continue;
    const schema = post.requestBody?.content?.["application/json"]?.schema ?? {};
    found.set(name, { name, path: path.slice(1), description: post.description ?? "", schema: plain(schema, document) });
  }
  return found;
}

/** Fields for all arguments of a task, in place of those that `parent` holds. */
export function makeFields(parent, task, document) {
  const { properties, required = [] } = task.schema;
  const fields = properties
    ? Object.entries(properties).map(([name, schema]) => new Field(name, plain(schema, document), required.includes(name)))
    : [new Field("body", task.schema, true)];
  parent.replaceChildren(...fields.map((field) => field.element));
  return fields;
}

/** The body that the fields hold; undefined after each field at fault has said so. */
export function readBody(fields, task) {
  const values = fields.map((field) => [field.name, field.read()]);
  if (fields.some((field) => field.fault)) return undefined;
  if (!task.schema.properties) return values[0][1] ?? {};
  return Object.fromEntries(values.filter(([, value]) => value !== undefined));
}

/** Put what the API found wrong beside the fields; what belongs to none of them comes back. */
export function showErrors(fields, errors) {
  const left = [];
  for (const { field: place, message } of errors) {
    const path = String(place).split(".").filter((part, index) => index || part !== "body");
    const field = fields.find(({ name }) => name === path[0]) ?? fields.find(({ name }) => name === "body");
    if (field) field.complain(path.length > 1 ? `${path.slice(1).join(".")}: ${message}` : message);
    else left.push(path.length ? `${path.join(".")}: ${message}` : message);
  }
  return left;
}

class Field {
  constructor(name, schema, required) {
    this.name = name;
    this.schema = schema;
    this.required = required;
    this.kind = kindOf(schema, required);
    this.input = makeInput(this.kind, schema, required);
    this.input.id = `argument-${name}`;
    this.input.setAttribute("aria-describedby", `${this.input.id}-hint ${this.input.id}-error`);
    const label = make("label", name);
    label.htmlFor = this.input.id;
    if (!required) label.append(" ", make("small", "(optional)"));
    const hint = make("p", hintOf(schema, this.kind));
    hint.id = `${this.input.id}-hint`;
    hint.className = "hint";
    this.error = make("p");
    this.error.id = `${this.input.id}-error`;
    this.error.className = "error";
    this.element = make("div");
    this.element.className = "field";
    this.element.append(label, this.input, hint, this.error);
  }

  get fault() {
    return this.error.textContent;
  }

  complain(message) {
    this.error.textContent = message;
    if (message) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
  }

  /** Its value, undefined where none is given. */
  read() {
    this.complain(this.input.validationMessage);
    const { value } = this.input;
    if (this.kind === "boolean") return this.input.checked;
    if (this.fault || value === "") return undefined;
    if (this.kind === "number") return Number(value);
    if (this.kind === "choice") return choicesOf(this.schema)[Number(value)];
    if (this.kind === "moment") return new Date(value).toISOString();
    if (this.kind !== "json") return value;
    try {
      return JSON.parse(value);
    } catch (error) {
      this.complain(`This is no JSON: ${error.message}`);
      return undefined;
    }
  }
}

function kindOf(schema, required) {
  if (choicesOf(schema)) return "choice";
  if (schema.type === "boolean") return required || typeof schema.default === "boolean" ? "boolean" : "json";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type !== "string") return "json";
  return { date: "date", "date-time": "moment" }[schema.format] ?? "text";
}

function choicesOf(schema) {
  if ("const" in schema) return [schema.const];
  if (schema.type === "boolean" && schema.nullable) return [true, false];
  return schema.enum;
}

function makeInput(kind, schema, required) {
  const input = make({ choice: "select", json: "textarea" }[kind] ?? "input");
  const preset = schema.default ?? "";
  if (kind === "choice") {
    const choices = choicesOf(schema);
    if (!required || choices.length > 1) input.append(new Option("", ""));
    input.append(...choices.map((choice, index) => new Option(asText(choice), index)));
    const chosen = choices.indexOf(schema.default);
    if (chosen >= 0) input.value = chosen;
  } else if (kind === "boolean") {
    input.type = "checkbox";
    input.checked = schema.default === true;
  } else if (kind === "json") {
    input.spellcheck = false;
    input.value = preset === "" ? "" : JSON.stringify(preset, null, 2);
  } else {
    input.type = { number: "number", date: "date", moment: "datetime-local" }[kind] ?? "text";
    input.autocomplete = "off";
    if (kind === "number") limit(input, schema);
    if (kind === "moment") input.step = 1;
    else input.value = preset;
    if (schema.maxLength) input.maxLength = schema.maxLength;
    if (schema.minLength) input.minLength = schema.minLength;
  }
  input.required = required && kind !== "boolean";
  return input;
}

function limit(input, schema) {
  const whole = schema.type === "integer";
  input.step = whole ? 1 : "any"; // without a step, only whole numbers are valid
  const least = schema.minimum ?? (whole && "exclusiveMinimum" in schema ? schema.exclusiveMinimum + 1 : undefined);
  const most = schema.maximum ?? (whole && "exclusiveMaximum" in schema ? schema.exclusiveMaximum - 1 : undefined);
  if (least !== undefined) input.min = least;
  if (most !== undefined) input.max = most;
}

function hintOf(schema, kind) {
  const parts = [];
  if (schema.description) parts.push(schema.description);
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const most = schema.maximum ?? schema.exclusiveMaximum;
  if (least !== undefined && most !== undefined) parts.push(`${least} to ${most}`);
  else if (least !== undefined) parts.push(`${"minimum" in schema ? "at least" : "more than"} ${least}`);
  else if (most !== undefined) parts.push(`${"maximum" in schema ? "at most" : "less than"} ${most}`);
  if (kind === "json") parts.push(schema.type ? `JSON: ${schema.type}` : "JSON");
  if (kind === "moment") parts.push("in your time zone");
  if (kind === "text" && schema.format) parts.push(schema.format);
  if (schema.default !== undefined && schema.default !== null) parts.push(`${asText(schema.default)} unless given`);
  return parts.join(" · ");
}

/** A schema without its references, and without the `null` that an optional argument may be. */
function plain(schema, document) {
  const { $ref, anyOf, allOf, oneOf, ...own } = schema;
  if ($ref) return plain({ ...lookUp($ref, document), ...own }, document);
  const options = anyOf ?? oneOf ?? allOf;
  if (!options) return schema;
  const [first, ...others] = options.filter(({ type }) => type !== "null");
  if (!first || others.length) return own; // anything at all
  return { ...plain(first, document), ...own, nullable: !allOf && options.length > 1 };
}

function lookUp(reference, document) {
  return reference.replace(/^#\//, "").split("/").reduce((part, name) => part[name], document);
}

function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function make(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
