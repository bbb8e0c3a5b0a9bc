using System.Text.Json;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Cache;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Coupons;

/// <summary>A template ready to be sent.</summary>
internal sealed record PostedTemplate(long Id, CouponTemplateView View, string ETag, byte[] Json);

/// <summary><c>GET /v1/coupon-templates</c>, <c>GET /v1/coupon-templates/{id}</c>: the newest templates as this node shows them, a fraction of a second old, one reading for everybody who looks. Claims never use it.</summary>
internal sealed class TemplateBoard
{
    /// <summary>The newest templates are on the board; others are read one by one.</summary>
    private const int TemplatesMax = 200;

    private readonly Database database;
    private readonly PoolStore pools;
    private readonly LeftUnits leftUnits;
    private readonly TimeProvider time;
    private readonly Snapshot<Board> board;

    public TemplateBoard(Database database, PoolStore pools, LeftUnits leftUnits, CouponsOptions options, TimeProvider time)
    {
        (this.database, this.pools, this.leftUnits, this.time) = (database, pools, leftUnits, time);
        board = new(LoadAsync, options.BoardAge, time);
    }

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/coupon-templates", async (HttpContext context, TemplateBoard board) =>
        {
            var now = await board.board.GetAsync();
            return Versioned.Answer(context, now.ETag, now.Json);
        }).For(AccessRule.Public).WithTags("Coupons").WithSummary("The newest coupon templates").Produces<Page<CouponTemplateView>>().IsVersioned();
        routes.MapGet("/v1/coupon-templates/{id}", async (string id, HttpContext context, TemplateBoard board) =>
                Names.TryId(id, out var templateId) && await board.FindAsync(templateId) is { } template ? Versioned.Answer(context, template.ETag, template.Json) : Problem.NotFound("coupon template"))
            .For(AccessRule.Public).WithTags("Coupons").WithSummary("One coupon template").Produces<CouponTemplateView>().IsVersioned();
    }

    /// <summary>One template, or null.</summary>
    public async ValueTask<PostedTemplate?> FindAsync(long id) => (await board.GetAsync()).Templates.TryGetValue(id, out var posted) ? posted : await LoadAsync("WHERE id = @id", new { id }) is [var old] ? old : null;

    /// <summary>Something changed through this node: the next look sees it.</summary>
    public void Invalidate() => board.Invalidate();

    private async Task<Board> LoadAsync()
    {
        var templates = await LoadAsync("ORDER BY id DESC LIMIT @TemplatesMax", new { TemplatesMax });
        var json = JsonSerializer.SerializeToUtf8Bytes(new Page<CouponTemplateView>([.. templates.Select(template => template.View)], null), CouponsJson.Default.PageCouponTemplateView);
        return new Board(templates.ToDictionary(template => template.Id), $"\"{Convert.ToHexStringLower(System.IO.Hashing.XxHash3.Hash(json))}\"", json);
    }

    private async Task<IReadOnlyList<PostedTemplate>> LoadAsync(string which, object parameters)
    {
        var templates = (await database.ReadAsync(connection => connection.QueryAsync<CouponTemplate>($"SELECT {CouponTemplate.Columns} FROM coupon_templates {which}", parameters))).AsList();
        var lanes = await pools.LanesAsync(templates.ConvertAll(template => template.Id));
        var left = await leftUnits.ReadAsync(lanes);
        var now = time.GetUtcNow();
        return templates.ConvertAll(template =>
        {
            var view = template.ToView(lanes[template.Id].Single(), left[template.Id], now);
            return new PostedTemplate(template.Id, view, $"\"{view.Version}-{view.LeftUnits}-{view.State}\"", JsonSerializer.SerializeToUtf8Bytes(view, CouponsJson.Default.CouponTemplateView));
        });
    }

    private sealed record Board(Dictionary<long, PostedTemplate> Templates, string ETag, byte[] Json);
}
