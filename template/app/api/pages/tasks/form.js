// The form of a task, made from the schema of its arguments.

/** The tasks that can be queued, by name, as the OpenAPI document has them. */
export function findTasks(document) {
  const found = new Map();
  for (const [path, { post }] of Object.entries(document.paths)) {
    const name = /^\/api\/v1\/tasks\/([^/{}]+)$/.exec(path)?.[1];
    if (!name || !post) continue;
    const { description = "", parameters = [] } = post;
    const schema = plain(post.requestBody?.content?.["application/json"]?.schema ?? {}, document);
    const options = parameters.filter((parameter) => parameter.in === "query");
    found.set(name, { name, path: path.slice(1), description, schema, options });
  }
  return found;
}

/** A field for each argument of a task; one for all of them where they are not told apart. */
export function argumentFields({ schema }, document) {
  if (!schema.properties) return [new Field("body", "", schema, true)];
  const { properties, required = [] } = schema;
  return Object.entries(properties).map(
    ([name, property]) => new Field("body", name, plain(property, document), required.includes(name)),
  );
}

/** A field for each way to queue a task, whatever its arguments: when, how urgent. */
export function optionFields({ options }, document) {
  return options.map(
    ({ name, description, schema = {}, required = false }) =>
      new Field("query", name, { description, ...plain(schema, document) }, required),
  );
}

/** The body and the query that the fields hold; undefined after each field at fault has said so. */
export function readFields(fields) {
  let body = {};
  const query = new URLSearchParams();
  for (const field of fields) {
    const value = field.read();
    if (value === undefined) continue;
    if (field.place === "query") query.set(field.name, value);
    else if (field.name) body[field.name] = value;
    else body = value;
  }
  return fields.some((field) => field.fault) ? undefined : { body, query };
}

/** Put what the API found wrong beside the fields; what belongs to none of them comes back. */
export function showErrors(fields, errors) {
  const left = [];
  for (const { field: path, message } of errors) {
    const field = fields.find((one) => path === one.path || path.startsWith(`${one.path}.`));
    const inside = field ? path.slice(field.path.length + 1) : path.replace(/^(body|query)(\.|$)/, "");
    const text = inside ? `${inside}: ${message}` : message;
    if (field) field.complain(text);
    else left.push(text);
  }
  return left;
}

class Field {
  constructor(place, name, schema, required) {
    this.place = place;
    this.name = name;
    this.path = name ? `${place}.${name}` : place; // as errors name it
    this.schema = schema;
    this.kind = kindOf(schema, required);
    this.input = makeInput(this.kind, schema, required);
    this.input.id = this.path;
    this.input.setAttribute("aria-describedby", `${this.input.id}-hint ${this.input.id}-error`);
    const label = make("label", name || "Arguments");
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
  if (schema.description) parts.push(schema.description.replace(/\.$/, ""));
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const most = schema.maximum ?? schema.exclusiveMaximum;
  if (least !== undefined && most !== undefined) parts.push(`${least} to ${most}`);
  else if (least !== undefined) parts.push(`${"minimum" in schema ? "at least" : "more than"} ${least}`);
  else if (most !== undefined) parts.push(`${"maximum" in schema ? "at most" : "less than"} ${most}`);
  if (kind === "json") parts.push(schema.type ? `JSON: ${schema.type}` : "JSON");
  if (kind === "moment") parts.push("in your time zone");
  if (kind === "text" && schema.format) parts.push(schema.format);
  const typed = kind === "number" || kind === "text"; // of the others the form shows what it is
  if (typed && schema.default !== undefined && schema.default !== null) parts.push(`${asText(schema.default)} unless given`);
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
