// The documentation of the API: the OpenAPI document of this server, as a page.

import { currentTheme } from "./theme.js";

const main = document.getElementById("operations");

function make(tag, text = "", name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

function resolve(schema, root) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.split("/").slice(1).reduce((inner, key) => inner[key], root);
}

function takes(schema) {
  if (schema.enum) return `one of ${schema.enum.join(", ")}`;
  if (schema.type === "array") return `${takes(schema.items)}; up to ${schema.maxItems}, with commas`;
  if (schema.type === "boolean") return "true or false";
  if (schema.type === "integer") {
    const most = schema.maximum === undefined ? "" : ` to ${schema.maximum}`;
    return `whole number from ${schema.minimum}${most}`;
  }
  return schema.format === "date-time" ? "time" : "text";
}

function example(path, parameters) {
  const value = (one) => {
    const found = one.schema.examples?.[0] ?? one.schema.enum?.[0] ?? "";
    return Array.isArray(found) ? found.join(",") : String(found);
  };
  let address = path;
  const query = new URLSearchParams();
  for (const one of parameters.filter((each) => each.required)) {
    if (one.in === "path") address = address.replace(`{${one.name}}`, value(one));
    else query.set(one.name, value(one));
  }
  return query.size ? `${address}?${query}` : address;
}

function parameterTable(parameters) {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const text of ["parameter", "takes", ""]) head.append(make("th", text));
  const body = table.createTBody();
  for (const { name, required, schema } of parameters) {
    const row = body.insertRow();
    const cell = row.insertCell();
    cell.append(make("code", name), make("span", required ? " required" : "", "soft"));
    const standard = schema.default === undefined ? "" : ` (${schema.default})`;
    row.insertCell().textContent = takes(schema) + standard;
    row.insertCell().textContent = schema.description ?? "";
  }
  return table;
}

function fieldsOf(operation, root) {
  const body = operation.responses["200"].content["application/json"]?.schema;
  const outer = resolve(body, root);
  const rows = outer.properties?.data?.items ?? outer;
  return resolve(rows, root).properties;
}

function fieldTable(fields) {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const text of ["field of a row", "type", ""]) head.append(make("th", text));
  const body = table.createTBody();
  for (const [name, schema] of Object.entries(fields)) {
    const row = body.insertRow();
    row.insertCell().append(make("code", name));
    const kinds = [schema, ...(schema.oneOf ?? [])].flatMap((one) => one.type ?? []);
    row.insertCell().textContent = schema.enum ? schema.enum.join(", ") : kinds.join(" or ");
    row.insertCell().textContent = schema.description ?? "";
  }
  return table;
}

function section(path, operation, root) {
  const part = make("section");
  part.id = operation.operationId;
  const title = make("h3");
  title.append(make("span", "GET ", "method"), make("code", path));
  part.append(title, make("p", `${operation.summary}. ${operation.description}`));
  if (operation.parameters.length) part.append(parameterTable(operation.parameters));
  const address = example(path, operation.parameters);
  const link = make("a", address);
  link.href = `.${address}`;
  const line = make("pre");
  line.append(link);
  part.append(line);
  const fields = fieldsOf(operation, root);
  if (fields) {
    const details = make("details");
    details.append(make("summary", "Fields"), fieldTable(fields));
    part.append(details);
  }
  return part;
}

function draw(root) {
  document.getElementById("about").textContent = root.info.description;
  const contents = document.getElementById("contents");
  main.replaceChildren();
  for (const tag of root.tags) {
    main.append(make("h2", `${tag.name}: ${tag.description}`));
    const list = make("ul");
    for (const [path, { get }] of Object.entries(root.paths)) {
      if (!get.tags.includes(tag.name)) continue;
      main.append(section(path, get, root));
      const link = make("a", path);
      link.href = `#${get.operationId}`;
      const item = make("li");
      item.append(link);
      list.append(item);
    }
    contents.append(list);
  }
}

document.documentElement.dataset.theme = currentTheme();

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  draw(await answer.json());
} catch (error) {
  main.replaceChildren(make("p", `The document cannot be read: ${error.message}`));
}
