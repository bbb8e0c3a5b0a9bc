using System.Threading.Channels;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.WriteQueue;

/// <summary>
/// A durable quorum queue of a RabbitMQ 3.10 server or later: published with confirms and <c>mandatory</c>, acknowledged by hand, bounded in length (a full queue refuses), with a dead-letter exchange.
/// </summary>
/// <remarks>
/// The client's own recovery is off: after a lost connection it would go on with channels whose deliveries are void. Here a link is either whole or thrown away.
/// </remarks>
internal sealed class RabbitMqBroker(WriteQueueOptions options, string topic) : IBroker
{
    // Messages at the reader that are not acknowledged; in the queue; and set aside.
    private const ushort PrefetchMax = 500;
    private const int MessagesMax = 100_000, SetAsideMax = 10_000;

    private static readonly TimeSpan CallTimeMax = TimeSpan.FromSeconds(10), ConnectTimeMax = TimeSpan.FromSeconds(3), Heartbeat = TimeSpan.FromSeconds(5), IdleMax = TimeSpan.FromSeconds(3), OpenTimeMax = TimeSpan.FromSeconds(20);

    private readonly string queue = $"{options.Name}.{topic}";
    private readonly string dead = $"{options.Name}.dead";
    private readonly SemaphoreSlim opening = new(1, 1);
    private Link? link;
    private volatile bool closed;

    public string Describe => $"RabbitMQ at {string.Join(", ", RabbitMqAddress.Parse(options.Connection).Select(uri => $"{uri.Host}:{(uri.Port < 0 ? 5672 : uri.Port)}"))}, queue {queue}";

    public Task OpenAsync() => GuardAsync(_ => Task.FromResult(true));

    public Task PublishAsync(string key, IReadOnlyList<byte[]> messages) => GuardAsync(async open =>
    {
        await Task.WhenAll(messages.Select(message => open.Publisher.BasicPublishAsync("", queue, mandatory: true, new BasicProperties { Persistent = true }, message).AsTask()));
        return true;
    });

    public Task SetAsideAsync(byte[] message, string error) => GuardAsync(async open =>
    {
        var properties = new BasicProperties { Persistent = true, Headers = new Dictionary<string, object?>(StringComparer.Ordinal) { ["error"] = error } };
        await open.Publisher.BasicPublishAsync(dead, "", mandatory: true, properties, message);
        return true;
    });

    public async Task<IReadOnlyList<Delivery>> ReadAsync(CancellationToken cancel)
    {
        var open = await GuardAsync(Task.FromResult);
        using var idle = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        idle.CancelAfter(IdleMax);
        try
        {
            if (!await open.Inbox.Reader.WaitToReadAsync(idle.Token))
            {
                throw Unavailable("the connection was lost.", null);
            }
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            // A reader that has nothing in hand gets what waits. If it does not, the queue has lost the subscription, as one may that was just being started.
            if (await WaitingAsync() > 0 && !open.Inbox.Reader.TryPeek(out _))
            {
                await DropAsync(open);
                throw Unavailable("messages wait and none is delivered; subscribing again.", null);
            }

            return [];
        }

        var deliveries = new List<Delivery>();
        while (open.Inbox.Reader.TryRead(out var delivery))
        {
            deliveries.Add(delivery);
        }

        return deliveries;
    }

    public Task AcknowledgeAsync(IReadOnlyList<Delivery> deliveries) => GuardAsync(async open =>
    {
        var last = (Receipt)deliveries[^1].Receipt;
        if (last.Link != open)
        {
            throw Unavailable("the connection was lost; it delivers again.", null);
        }

        await open.Reader.BasicAckAsync(last.Tag, multiple: true);
        return true;
    });

    public Task<long> WaitingAsync() => GuardAsync(async open => (long)(await open.Publisher.QueueDeclarePassiveAsync(queue)).MessageCount);

    public async ValueTask DisposeAsync()
    {
        // Whoever still is in a call finds it closed; the semaphore has nothing to be freed.
        closed = true;
        if (Interlocked.Exchange(ref link, null) is { } open)
        {
            await open.DisposeAsync();
        }
    }

    private async Task<T> GuardAsync<T>(Func<Link, Task<T>> call)
    {
        var open = await LinkAsync();
        try
        {
            return await call(open).WaitAsync(CallTimeMax);
        }
        catch (PublishException e)
        {
            // Refused by a full queue, or returned because there is no queue any more: the next link makes it again.
            await DropAsync(open);
            throw Unavailable(e.IsReturn ? $"there is no queue {queue}." : $"the queue {queue} refuses messages: it is full, or has no majority.", e);
        }
        catch (Exception e) when (IsAway(e))
        {
            await DropAsync(open);
            throw Unavailable(e.Message, e);
        }
    }

    private async Task<Link> LinkAsync()
    {
        if (link is { IsOpen: true } open)
        {
            return open;
        }

        await opening.WaitAsync();
        try
        {
            if (link is { IsOpen: true } other)
            {
                return other;
            }

            if (closed)
            {
                throw Unavailable("closed.", null);
            }

            if (Interlocked.Exchange(ref link, null) is { } broken)
            {
                await broken.DisposeAsync();
            }

            return link = await ConnectAsync();
        }
        catch (OperationCanceledException e)
        {
            throw Unavailable($"connected, but the queue {queue} does not answer: the server is busy, or the queue has no leader.", e);
        }
        catch (Exception e) when (IsAway(e))
        {
            throw Unavailable(e.InnerException?.Message ?? e.Message, e);
        }
        finally
        {
            opening.Release();
        }
    }

    private async Task<Link> ConnectAsync()
    {
        var addresses = RabbitMqAddress.Parse(options.Connection);
        var factory = new ConnectionFactory
        {
            Uri = addresses[0], AutomaticRecoveryEnabled = false, TopologyRecoveryEnabled = false, RequestedHeartbeat = Heartbeat, ClientProvidedName = "sluice",
            RequestedConnectionTimeout = ConnectTimeMax, HandshakeContinuationTimeout = ConnectTimeMax, ContinuationTimeout = CallTimeMax,
        };

        // A try that takes too long is ended, not left alone: it would subscribe later, and messages would go to a reader that nobody asks any more.
        using var soon = new CancellationTokenSource(OpenTimeMax);
        var connection = await ReachAsync(factory, addresses, soon.Token);
        try
        {
            var publisher = await connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true), soon.Token);
            var reader = await connection.CreateChannelAsync(cancellationToken: soon.Token);
            await publisher.ExchangeDeclareAsync(dead, ExchangeType.Fanout, durable: true, cancellationToken: soon.Token);
            await publisher.QueueDeclareAsync(dead, durable: true, exclusive: false, autoDelete: false, Arguments(("x-max-length", SetAsideMax)), cancellationToken: soon.Token);
            await publisher.QueueBindAsync(dead, dead, "", cancellationToken: soon.Token);
            await publisher.QueueDeclareAsync(
                queue, durable: true, exclusive: false, autoDelete: false, Arguments(("x-dead-letter-exchange", dead), ("x-max-length", MessagesMax), ("x-overflow", "reject-publish")), cancellationToken: soon.Token);
            var open = new Link(connection, publisher, reader);
            await reader.BasicQosAsync(0, PrefetchMax, global: false, soon.Token);
            await reader.BasicConsumeAsync(queue, autoAck: false, open.Consumer(), soon.Token);
            return open;
        }
        catch
        {
            await Link.CloseAsync(connection);
            throw;
        }
    }

    private static async Task<IConnection> ReachAsync(ConnectionFactory factory, IReadOnlyList<Uri> addresses, CancellationToken soon)
    {
        try
        {
            return await factory.CreateConnectionAsync(addresses.Select(uri => new AmqpTcpEndpoint(uri)), soon);
        }
        catch (OperationCanceledException e)
        {
            throw new TimeoutException("the server does not answer.", e);
        }
    }

    private static Dictionary<string, object?> Arguments(params (string Name, object Value)[] more)
    {
        var arguments = new Dictionary<string, object?>(StringComparer.Ordinal) { ["x-queue-type"] = "quorum" };
        foreach (var (name, value) in more)
        {
            arguments[name] = value;
        }

        return arguments;
    }

    private async Task DropAsync(Link open)
    {
        if (Interlocked.CompareExchange(ref link, null, open) == open)
        {
            await open.DisposeAsync();
        }
    }

    private static bool IsAway(Exception e) => e is RabbitMQClientException or IOException or TimeoutException or OperationCanceledException or System.Net.Sockets.SocketException or ObjectDisposedException;

    private static DependencyUnavailableException Unavailable(string says, Exception? inner) => new("rabbitmq", says, inner);

    private sealed record Receipt(Link Link, ulong Tag);

    // One connection with two channels: an error on one ends it, so publishing and reading do not share one.
    private sealed class Link(IConnection connection, IChannel publisher, IChannel reader) : IAsyncDisposable
    {
        public IChannel Publisher => publisher;

        public IChannel Reader => reader;

        public bool IsOpen => connection.IsOpen && publisher.IsOpen && reader.IsOpen && !Inbox.Reader.Completion.IsCompleted;

        /// <summary>What the server has sent; no more than the prefetch. Completed when nothing comes any more.</summary>
        public Channel<Delivery> Inbox { get; } = Channel.CreateBounded<Delivery>(PrefetchMax);

        public AsyncEventingBasicConsumer Consumer()
        {
            var consumer = new AsyncEventingBasicConsumer(reader);

            // The body is the client's own memory and only lent.
            consumer.ReceivedAsync += (_, message) => Inbox.Writer.WriteAsync(new(message.Body.ToArray(), message.Redelivered, new Receipt(this, message.DeliveryTag))).AsTask();
            consumer.UnregisteredAsync += (_, _) => EndAsync();
            consumer.ShutdownAsync += (_, _) => EndAsync();
            reader.ChannelShutdownAsync += (_, _) => EndAsync();
            connection.ConnectionShutdownAsync += (_, _) => EndAsync();
            return consumer;
        }

        public async ValueTask DisposeAsync()
        {
            await EndAsync();
            await CloseAsync(connection);
        }

        /// <summary>Ends a connection, whatever the other side says to that; bounded.</summary>
        public static async Task CloseAsync(IConnection connection)
        {
            // Freed even if the other side does not say goodbye in time: a connection that is left open goes on being delivered to.
            foreach (var step in new[] { () => connection.CloseAsync(Constants.ReplySuccess, "", ConnectTimeMax, abort: true), () => connection.DisposeAsync().AsTask() })
            {
                try
                {
                    await step().WaitAsync(CallTimeMax);
                }
                catch (Exception e) when (IsAway(e))
                {
                    // It was closed already, by the other side.
                }
            }
        }

        private Task EndAsync()
        {
            Inbox.Writer.TryComplete();
            return Task.CompletedTask;
        }
    }
}

/// <summary><c>amqp://user:password@host:port/vhost</c>, several with commas in between: nodes of one cluster.</summary>
internal static class RabbitMqAddress
{
    public static bool IsAddress(string text) =>
        text.Split(',') is { Length: >= 1 and <= 16 } parts &&
        parts.All(part => Uri.TryCreate(part.Trim(), UriKind.Absolute, out var uri) && uri.Scheme is "amqp" or "amqps" && uri.Host.Length > 0 && uri.UserInfo.Split(':') is [{ Length: > 0 }, { Length: > 0 }]);

    public static IReadOnlyList<Uri> Parse(string text) => [.. text.Split(',').Select(part => new Uri(part.Trim()))];
}
