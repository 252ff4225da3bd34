export { io as default, io, io as connect, Manager, Socket, protocol };
