"use strict";
// The documentation of the API from its own OpenAPI document, with nothing from elsewhere.

const make = (name, text, attributes = {}) => {
  const element = document.createElement(name);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

const add = (parent, ...children) => { parent.append(...children); return parent; };

let api;

// A schema without references; what contains itself ends at its name.
function resolved(schema, seen = []) {
  if (!schema || typeof schema !== "object") return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return seen.includes(name) ? name : resolved(api.components.schemas[name], [...seen, name]);
  }
  if (Array.isArray(schema)) return schema.map((part) => resolved(part, seen));
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value, seen)]));
}

const shown = (value) => make("pre", typeof value === "string" ? value : JSON.stringify(value, null, 2));

function parameters(operation, inputs) {
  const table = make("table");
  for (const parameter of operation.parameters || []) {
    const input = make("input", null, { placeholder: parameter.schema.default ?? parameter.example, size: "18" });
    inputs.push([parameter, input]);
    const name = make("code", parameter.name + (parameter.required ? " *" : ""));
    add(table, add(make("tr"), add(make("td"), name), make("td", parameter.in, { class: "quiet" }),
      make("td", parameter.description || parameter.schema.description || ""), add(make("td"), input)));
  }
  return table;
}

function bodyOf(operation) {
  const content = operation.requestBody && operation.requestBody.content;
  const json = content && content["application/json"];
  if (!content) return [null, []];
  if (!json) return [null, [make("p", "Body: " + Object.keys(content).join(", ") + " (a form; try it with curl)")]];
  const schema = resolved(json.schema);
  const lines = JSON.stringify(json.example, null, 2);
  const text = make("textarea", lines, { rows: lines.split("\n").length });
  const more = add(make("details"), make("summary", "Schema of the body"), shown(schema));
  return [text, [make("p", "Body"), text, more]];
}

function answers(operation) {
  const box = add(make("details"), make("summary", "Answers: " + Object.keys(operation.responses).join(", ")));
  for (const [status, response] of Object.entries(operation.responses)) {
    add(box, make("p", `${status} ${response.description || ""}`));
    const content = Object.values(response.content || {})[0];
    if (content && content.schema && status < "300") {
      add(box, shown(content.example), add(make("details"), make("summary", "Schema"), shown(resolved(content.schema))));
    }
  }
  return box;
}

async function send(method, path, inputs, body, out) {
  const headers = {}, query = new URLSearchParams();
  const token = document.getElementById("token").value.trim();
  if (token) headers.authorization = "Bearer " + token;
  for (const [parameter, input] of inputs) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value && parameter.in === "query") query.append(parameter.name, input.value);
    else if (input.value && parameter.in === "header") headers[parameter.name] = input.value;
  }
  const options = { method: method.toUpperCase(), headers };
  if (body) { options.body = body.value; headers["content-type"] = "application/json"; }
  const address = path + (query.size ? "?" + query : "");
  out.textContent = options.method + " " + address + " …";
  try {
    const answer = await fetch(address, options);
    const told = await answer.text();
    let text = told;
    try { text = JSON.stringify(JSON.parse(told), null, 2); } catch { /* no JSON: shown as it is */ }
    const etag = answer.headers.get("etag");
    out.textContent = `${answer.status} ${answer.statusText}${etag ? "  etag: " + etag : ""}\n${text.slice(0, 100000)}`;
  } catch (error) { out.textContent = String(error); }
}

function entry(path, method, operation) {
  const box = make("details", null, { id: operation.operationId, "data-words": `${method} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase() });
  const head = add(make("summary"), make("span", method.toUpperCase(), { class: "method " + method }), make("code", path),
    make("span", "  " + (operation.summary || ""), { class: "quiet" }));
  const inputs = [], [body, parts] = bodyOf(operation);
  const button = make("button", "Send"), out = make("pre", "");
  button.addEventListener("click", () => send(method, path, inputs, body, out));
  return add(box, head, make("p", (operation.description || "").replaceAll("`", "")), parameters(operation, inputs), ...parts, answers(operation),
    button, out);
}

async function start() {
  api = await (await fetch("/openapi.json")).json();
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById("about").textContent = api.info.description.replaceAll("**", "").replaceAll("`", "").trim();
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(entry(path, method, operation));
    }
  }
  const main = document.getElementById("operations");
  for (const [tag, entries] of groups) add(main, add(make("section"), make("h2", tag), ...entries));
  main.addEventListener("toggle", ({ target }) => { if (target.open && target.id) history.replaceState(null, "", "#" + target.id); }, true);
  const chosen = document.getElementById(location.hash.slice(1));
  if (chosen) { chosen.open = true; chosen.scrollIntoView(); }
  document.getElementById("find").addEventListener("input", (event) => {
    const word = event.target.value.toLowerCase();
    for (const box of main.querySelectorAll("[data-words]")) box.hidden = !box.dataset.words.includes(word);
  });
}

start().catch((error) => { document.getElementById("operations").textContent = String(error); });
