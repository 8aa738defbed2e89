"use strict";

// The head in 3D, by WebGL 1: the model's vertices as they come, lit from the viewer, and turned as the camera sees it.

class Head {
  constructor(canvas) {
    this.canvas = canvas;
    this.turn = [0, 0]; // radians about the vertical and the horizontal, beside the camera's own view
    this.near = 1;
    this.rotation = [1, 0, 0, 0, -1, 0, 0, 0, -1];
    this.count = 0;
    const gl = canvas.getContext("webgl", { antialias: true });
    if (!gl || !gl.getExtension("OES_element_index_uint")) {
      this.gl = null;
      return;
    }
    this.gl = gl;
    this.program = program(gl);
    this.buffers = Object.fromEntries(["place", "normal", "color", "index"].map((name) => [name, gl.createBuffer()]));
    gl.enable(gl.DEPTH_TEST);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  setTriangles(triangles) {
    if (!this.gl) return;
    this.triangles = triangles;
    this.gl.bindBuffer(this.gl.ELEMENT_ARRAY_BUFFER, this.buffers.index);
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, triangles, this.gl.STATIC_DRAW);
  }

  // Vertices in hundredths of a millimetre, (3N) int16; colours (3N) uint8; rotation row-major, to the camera's axes.
  show(vertices, colors, rotation) {
    if (!this.gl || !this.triangles) return;
    this.rotation = rotation;
    this.fill("place", vertices);
    this.fill("normal", normals(vertices, this.triangles));
    this.fill("color", colors);
    this.count = this.triangles.length;
    this.draw();
  }

  clear() {
    if (!this.count) return;
    this.count = 0;
    this.draw();
  }

  fill(name, values) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[name]);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, values, this.gl.DYNAMIC_DRAW);
  }

  draw() {
    const { gl, canvas } = this;
    if (!gl) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!this.count) return;
    gl.useProgram(this.program);
    for (const [name, type, normalized] of [["place", gl.SHORT, false], ["normal", gl.FLOAT, false], ["color", gl.UNSIGNED_BYTE, true]]) {
      const at = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, 3, type, normalized, 0, 0);
    }
    const uniform = (name) => gl.getUniformLocation(this.program, name);
    gl.uniformMatrix3fv(uniform("turn"), false, this.matrix());
    gl.uniform2f(uniform("scale"), ...(width < height ? [1, width / height] : [height / width, 1]));
    gl.uniform1f(uniform("near"), this.near);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers.index);
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_INT, 0);
  }

  // Column-major: the camera's y and z turned round, as OpenGL has them, then what the viewer turned.
  matrix() {
    const r = this.rotation;
    const seen = [[r[0], r[1], r[2]], [-r[3], -r[4], -r[5]], [-r[6], -r[7], -r[8]]];
    const [a, b] = this.turn;
    const [ca, sa, cb, sb] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
    const turned = [[ca, 0, sa], [sb * sa, cb, -sb * ca], [-cb * sa, sb, cb * ca]];
    const out = [];
    for (let column = 0; column < 3; column++)
      for (let row = 0; row < 3; row++)
        out.push(turned[row].reduce((sum, value, k) => sum + value * seen[k][column], 0));
    return out;
  }

  listen() {
    const canvas = this.canvas;
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      from = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      this.turn[0] += (event.clientX - from[0]) / 120;
      this.turn[1] = Math.max(-1.5, Math.min(1.5, this.turn[1] + (event.clientY - from[1]) / 120));
      from = [event.clientX, event.clientY];
      this.draw();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.near = Math.max(0.5, Math.min(4, this.near * Math.exp(-event.deltaY / 600)));
      this.draw();
    }, { passive: false });
    canvas.addEventListener("dblclick", () => {
      this.turn = [0, 0];
      this.near = 1;
      this.draw();
    });
  }
}

// Of each vertex: the sum of its triangles' normals, each as long as its triangle is large.
function normals(vertices, triangles) {
  const sums = new Float32Array(vertices.length);
  for (let k = 0; k < triangles.length; k += 3) {
    const [a, b, c] = [3 * triangles[k], 3 * triangles[k + 1], 3 * triangles[k + 2]];
    const ux = vertices[b] - vertices[a], uy = vertices[b + 1] - vertices[a + 1], uz = vertices[b + 2] - vertices[a + 2];
    const vx = vertices[c] - vertices[a], vy = vertices[c + 1] - vertices[a + 1], vz = vertices[c + 2] - vertices[a + 2];
    const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
    for (const at of [a, b, c]) {
      sums[at] += x;
      sums[at + 1] += y;
      sums[at + 2] += z;
    }
  }
  return sums;
}

// A head reaches about 150 mm from a middle that lies 55 mm behind and 20 mm below its eyes; it is seen from 0.8 m.
const VERTEX = `
attribute vec3 place, normal, color;
uniform mat3 turn;
uniform vec2 scale;
uniform float near;
varying vec3 seenNormal, skin;
void main() {
  vec3 at = turn * (place / 100.0 + vec3(0.0, 20.0, 55.0));
  seenNormal = turn * normal;
  skin = color;
  float far = 800.0 - at.z;
  gl_Position = vec4(at.xy * scale * near * 5.6, (far - 700.0) / 1000.0 * far, far);
}`;

const FRAGMENT = `
precision mediump float;
varying vec3 seenNormal, skin;
void main() {
  vec3 n = normalize(seenNormal);
  float key = max(dot(n, normalize(vec3(0.35, 0.45, 0.85))), 0.0);
  float fill = max(dot(n, normalize(vec3(-0.7, 0.1, 0.5))), 0.0);
  vec3 albedo = pow(skin, vec3(2.2));
  gl_FragColor = vec4(pow(albedo * (0.2 + 0.85 * key + 0.22 * fill), vec3(1.0 / 2.2)), 1.0);
}`;

function program(gl) {
  const made = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return made;
}
