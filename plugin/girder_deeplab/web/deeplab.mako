<%include file="${histomicsuiTemplate}"/>
<script src="${apiRoot}/deeplab/page/histomicsui.js"></script>
